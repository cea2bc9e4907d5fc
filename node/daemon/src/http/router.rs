//! All routes, with their limits, and the document that describes them.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware;
use axum::routing::get;
use starling_api::{ApiError, codes};
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::erased::ErasedBackend;
use super::extract::MAX_BODY;
use super::guard::{self, Secret};
use super::reply::Refusal;
use super::routes::{classes, events, jobs, node_wide, nodes, tasks};

/// What every handler gets.
#[derive(Clone)]
pub(super) struct App {
    pub(super) backend: Arc<dyn ErasedBackend>,
    /// Ends streams when the daemon stops.
    pub(super) stop: CancellationToken,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Starling",
        description = "A masterless cluster scheduler. Any node answers for the whole cluster. \
            Every error is an ApiError. Over TCP each request needs `Authorization: Bearer TOKEN`."
    ),
    components(schemas(ApiError)),
    tags(
        (name = "jobs", description = "Submit, watch and stop work"),
        (name = "tasks", description = "One running instance of a job"),
        (name = "nodes", description = "The cluster's members"),
        (name = "classes", description = "What was learned of workloads"),
        (name = "events", description = "What changes"),
        (name = "node", description = "The node that answers")
    )
)]
struct Description;

fn collected() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(jobs::submit, jobs::list))
        .routes(routes!(jobs::show))
        .routes(routes!(jobs::stop))
        .routes(routes!(tasks::stop))
        .routes(routes!(tasks::why))
        .routes(routes!(tasks::logs))
        .routes(routes!(nodes::list))
        .routes(routes!(nodes::drain))
        .routes(routes!(nodes::undrain))
        .routes(routes!(classes::list))
        .routes(routes!(classes::interference))
        .routes(routes!(events::events))
        .routes(routes!(node_wide::token))
        .routes(routes!(node_wide::health))
        .routes(routes!(node_wide::metrics))
}

/// The OpenAPI document, as JSON.
pub fn openapi() -> String {
    let (_, document) = collected().split_for_parts();
    document
        .to_pretty_json()
        .unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

/// The whole server behind `secret`.
pub(super) fn router(app: App, secret: Secret) -> Router {
    let (routes, document) = collected().split_for_parts();
    let document: Arc<str> = document.to_pretty_json().unwrap_or_default().into();
    let json = [(axum::http::header::CONTENT_TYPE, "application/json")];
    routes
        .route(
            "/openapi.json",
            get(move || std::future::ready((json, document.to_string()))),
        )
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .with_state(app)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(secret, guard::check))
}

async fn not_found(uri: Uri) -> Refusal {
    Refusal(
        ApiError::not_found("page", uri.path())
            .with_remedy("/openapi.json describes those there are"),
    )
}

async fn not_allowed(method: Method, uri: Uri) -> Refusal {
    let shown: String = uri.path().chars().take(80).collect();
    Refusal(
        ApiError::new(
            codes::METHOD_NOT_ALLOWED,
            format!("{shown} does not know {method}"),
        )
        .with_remedy("/openapi.json describes what each page knows"),
    )
}
