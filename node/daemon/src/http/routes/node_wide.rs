//! What concerns the answering node as a whole.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use starling_api::{ApiError, Health, TokenView, codes};

use crate::http::guard::Via;
use crate::http::reply::Reply;
use crate::http::router::App;

/// The line that admits another machine
///
/// It holds the cluster's secret, so it is only told over the Unix socket.
#[utoipa::path(
    get,
    path = "/v1/token",
    tag = "node",
    responses(
        (status = 200, body = TokenView),
        (status = 403, body = ApiError, description = "Asked over TCP"),
    )
)]
pub(in crate::http) async fn token(
    State(app): State<App>,
    Extension(via): Extension<Via>,
) -> Reply<Json<TokenView>> {
    if via != Via::Unix {
        return Err(ApiError::new(
            codes::FORBIDDEN,
            "the token that admits machines is only told on the machine itself",
        )
        .with_remedy("run `starling token` there, as the user who runs the daemon")
        .into());
    }
    Ok(Json(app.backend.token().await?))
}

/// Whether the daemon is well
#[utoipa::path(get, path = "/healthz", tag = "node", responses((status = 200, body = Health)))]
pub(in crate::http) async fn health(State(app): State<App>) -> Reply<Json<Health>> {
    Ok(Json(app.backend.health().await?))
}

/// What this node has done so far, in numbers
///
/// Counters and gauges in Prometheus' text format; those of the answering node only.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "node",
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub(in crate::http) async fn metrics(State(app): State<App>) -> Reply<impl IntoResponse> {
    let text = app.backend.metrics().await?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}
