//! Agents over real sockets, with the reference server behind them.

mod ask;
mod benchmark;
mod bounds;
mod invalid;
mod many;
mod memory;
mod pause;
mod replay;
mod sessions;
mod stop;
mod structured;

use serde_json::{Value, json};

use crate::support::{Answer, Event, Events, Server};

/// A model that is done in a moment.
pub const QUICK: &str = "script:tokens=8,ttft=5,gap=1@reference";
/// A model that writes for about half a minute unless it is stopped.
pub const LONG: &str = "script:tokens=3000,ttft=5,gap=10@reference";

/// What a test asks.
pub fn request(prompt: &str, model: &str) -> Value {
    json!({"prompt": prompt, "model": model})
}

impl Server {
    /// Asks and waits for the end of the turn.
    pub async fn ask(&self, body: &Value) -> Value {
        let answer = self.post("/api/nova/ask", body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body
    }

    /// Asks for events.
    pub async fn ask_for_events(&self, body: &Value) -> Events {
        let mut body = body.clone();
        body["stream"] = json!(true);
        let request = self.http.post(format!("{}/api/nova/ask", self.url));
        let response = request.json(&body).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        Events::of(response)
    }

    /// The events of a turn.
    pub async fn turn_events(&self, turn: &str, after: Option<&str>) -> Vec<Event> {
        let url = format!("{}/api/nova/turns/{turn}/events", self.url);
        let mut request = self.http.get(url);
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        Events::of(request.send().await.unwrap()).all().await
    }

    /// What the reference server saw, oldest first: only what made a model write.
    pub async fn seen(&self) -> Vec<Value> {
        let system = self.get("/api/system").await.body;
        let mut backends = system["backends"].as_array().unwrap().iter();
        let reference = backends.find(|it| it["name"] == "reference").unwrap();
        let url = format!("{}/reference/requests", reference["url"].as_str().unwrap());
        let seen = Answer::of(self.http.get(url).send().await.unwrap()).await;
        let all = seen.body.as_array().unwrap().clone();
        let writes = |it: &Value| it["path"] == "/api/generate";
        all.into_iter().filter(writes).collect()
    }
}

/// The roles of a turn's steps.
pub fn roles(response: &Value) -> Vec<&str> {
    let steps = response["steps"].as_array().unwrap();
    steps
        .iter()
        .map(|it| it["role"].as_str().unwrap())
        .collect()
}

/// The first step of a role.
#[track_caller]
pub fn step<'a>(response: &'a Value, role: &str) -> &'a Value {
    let mut steps = response["steps"].as_array().unwrap().iter();
    steps.find(|it| it["role"] == role).unwrap()
}
