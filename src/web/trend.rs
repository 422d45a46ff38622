//! One model over the stored runs.

use poem::web::Data;
use poem::{Request, Response, handler};
use serde_json::json;

use super::form::Fields;
use super::{charts, page};
use crate::api::Problem;
use crate::app::App;
use crate::record::{Distribution, TrendPoint};

/// Where a model's trend is.
pub fn address(model: &str) -> String {
    let mut fields = Fields::default();
    fields.set("model", model);
    format!("/trend?{}", fields.to_query())
}

#[handler]
pub async fn view(app: Data<&App>, request: &Request) -> Result<Response, Problem> {
    let fields = Fields::of_query(request)?;
    let Some(model) = fields.filled("model") else {
        return page::render(200, "trend.html", json!({ "is_empty": true }));
    };
    let trend = app.trend(model).await?;
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
    page::render(
        200,
        "trend.html",
        json!({ "is_empty": false, "model": model, "trend": trend, "courses": courses }),
    )
}
