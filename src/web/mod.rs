//! The pages: what a person sees and does in a browser.
//!
//! Each file is one page, thin: it reads what came, calls one function of [`App`] and hands the
//! record to a template of `templates/pages`. Here is no HTML, nothing is measured, and no header of
//! security is set: that is the server's guard, for pages and API alike.

mod answers;
mod assets;
mod card;
mod charts;
mod compare;
mod figures;
mod form;
mod glossary;
mod history;
mod import;
mod login;
mod machine;
mod nova;
mod page;
mod prompts;
mod report;
mod result;
mod run_form;
mod runs;
mod selection;
mod start;
mod statistics;
mod sweep;
mod system;
mod trend;
mod views;

use poem::endpoint::EndpointExt;
use poem::{Route, get, post};

pub use self::page::{is_of_person, page_of};
pub use self::report::report;
use crate::app::App;

/// Every page and fragment, and the files that they load.
pub fn routes(app: &App) -> Route {
    let pages = Route::new()
        .at("/", get(start::view))
        .at("/ui/runs", post(start::start))
        .at("/ui/prompts", post(prompts::save))
        .at("/ui/prompts/:id/use", post(prompts::take))
        .at("/ui/prompts/:id/delete", post(prompts::delete))
        .at("/runs/:id", get(runs::view))
        .at("/runs/:id/report", get(report::download))
        .at("/runs/:id/card.svg", get(card::view))
        .at("/runs/:id/answers/:place", get(runs::answer))
        .at("/runs/:id/delete", get(runs::ask_to_delete))
        .at("/ui/runs/:id/cancel", post(runs::cancel))
        .at("/ui/runs/:id/rerun", post(runs::rerun))
        .at("/ui/runs/:id/delete", post(runs::delete))
        .at("/history", get(history::view))
        .at("/history/export", get(selection::export))
        .at("/history/import", get(import::view))
        .at("/ui/history/import", post(import::import))
        .at("/history/delete", get(selection::ask_to_delete))
        .at("/ui/history/delete", post(selection::delete))
        .at("/ui/views", post(views::save))
        .at("/ui/views/:id/delete", post(views::delete))
        .at("/statistics", get(statistics::view))
        .at("/compare", get(compare::view))
        .at("/trend", get(trend::view))
        .at("/figures", get(glossary::view))
        .at("/ui/system", get(system::view))
        .at("/login", get(login::view).post(login::login))
        .at("/assets/:hash/:file", get(assets::asset));
    let pages = nova::add_to(pages)
        .data(app.clone())
        .around(page::with_error_pages);
    Route::new().nest_no_strip("/", pages)
}
