//! One model over the stored runs.

use poem::web::Data;
use poem::{Request, Response, handler};
use serde_json::json;

use super::form::Fields;
use super::{charts, page, runs};
use crate::api::Problem;
use crate::app::App;
use crate::record::{Distribution, REFERENCE, RunId, TrendPoint};

/// Where a model's trend is, of the work that a run asked for or else of its newest.
pub fn address(model: &str, like: Option<&RunId>) -> String {
    let mut fields = Fields::default();
    fields.set("model", model);
    fields.set("like", like.map(ToString::to_string).unwrap_or_default());
    format!("/trend?{}", fields.to_query())
}

#[handler]
pub async fn view(app: Data<&App>, request: &Request) -> Result<Response, Problem> {
    let fields = Fields::of_query(request)?;
    let Some(model) = fields.filled("model") else {
        return page::render(200, "trend.html", json!({ "is_empty": true }));
    };
    let like = fields.filled("like").map(runs::id).transpose()?;
    let trend = app.trend(model, like.as_ref()).await?;
    let drawn = |of: fn(&TrendPoint) -> &Distribution, is_time: bool| {
        let points = trend.points.iter();
        let runs: Vec<(u32, &Distribution)> = points.map(|it| (it.setup, of(it))).collect();
        charts::course(&runs, is_time)
    };
    let courses = json!([
        {
            "name": "output_tokens_per_second",
            "chart": drawn(|it| &it.output_tokens_per_second, false),
        },
        {
            "name": "time_to_first_chunk",
            "chart": drawn(|it| &it.time_to_first_chunk, true),
        },
    ]);
    let is_synthetic = model
        .rsplit_once('@')
        .is_some_and(|(_, backend)| backend == REFERENCE);
    page::render(
        200,
        "trend.html",
        json!({ "is_empty": false, "is_synthetic": is_synthetic, "model": model, "trend": trend, "courses": courses }),
    )
}
