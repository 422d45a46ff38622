//! Views of the history saved by a name.

use poem::web::Data;
use poem_openapi::param::Path;
use poem_openapi::{ApiResponse, OpenApi};

use super::Part;
use super::benchmarks::parse_id;
use super::payload::{Answer, Body};
use super::problem::Failure;
use super::prompts::Deleted;
use crate::app::App;
use crate::record::{NewView, SavedView};

/// The routes.
pub struct Views;

/// A view was saved.
#[derive(ApiResponse)]
pub enum ViewSaved {
    /// The view as it is stored.
    #[oai(status = 201)]
    Created(Answer<SavedView>),
}

#[OpenApi]
impl Views {
    /// List saved views of the history, newest first
    #[oai(
        path = "/api/views",
        method = "get",
        tag = "Part::Views",
        operation_id = "listViews"
    )]
    async fn list(&self, app: Data<&App>) -> Result<Answer<Vec<SavedView>>, Failure> {
        Ok(Answer(app.views().await?))
    }

    /// Save a view of the history
    #[oai(
        path = "/api/views",
        method = "post",
        tag = "Part::Views",
        operation_id = "saveView"
    )]
    async fn save(&self, app: Data<&App>, view: Body<NewView>) -> Result<ViewSaved, Failure> {
        Ok(ViewSaved::Created(Answer(app.save_view(view.0).await?)))
    }

    /// Delete a saved view; the runs that it shows stay
    #[oai(
        path = "/api/views/:id",
        method = "delete",
        tag = "Part::Views",
        operation_id = "deleteView"
    )]
    async fn delete(
        &self,
        app: Data<&App>,
        /// Id of the view, 24 hexadecimal digits.
        id: Path<String>,
    ) -> Result<Deleted, Failure> {
        app.delete_view(&parse_id(&id)?).await?;
        Ok(Deleted::Gone)
    }
}
