//! `/v1/nodes`.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use starling_api::{Answer, ApiError, Drain, NodeView};
use utoipa::IntoParams;

use crate::http::extract::{Params, Segment};
use crate::http::reply::Reply;
use crate::http::router::App;

/// The cluster's members, as this node knows them
#[utoipa::path(get, path = "/v1/nodes", tag = "nodes", responses((status = 200, body = Answer<NodeView>)))]
pub(in crate::http) async fn list(State(app): State<App>) -> Reply<Json<Answer<NodeView>>> {
    Ok(Json(app.backend.nodes().await?))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct DrainParams {
    /// Milliseconds after which tasks that still run there are given up and run elsewhere; left
    /// out: they end by themselves.
    deadline_ms: Option<u64>,
}

/// Make a node take no new tasks
#[utoipa::path(
    post,
    path = "/v1/nodes/{id}/drain",
    tag = "nodes",
    params(("id" = String, Path, description = "The node's name, or a unique beginning of its id"), DrainParams),
    responses(
        (status = 200, body = Drain),
        (status = 404, body = ApiError, description = "No such node"),
        (status = 503, body = ApiError, description = "The node is not there"),
    )
)]
pub(in crate::http) async fn drain(
    State(app): State<App>,
    Segment(id): Segment,
    Params(params): Params<DrainParams>,
) -> Reply<Json<Drain>> {
    let deadline = params.deadline_ms.map(Duration::from_millis);
    Ok(Json(app.backend.drain(id, true, deadline).await?))
}

/// Make a node take tasks again
#[utoipa::path(
    post,
    path = "/v1/nodes/{id}/undrain",
    tag = "nodes",
    params(("id" = String, Path, description = "The node's name, or a unique beginning of its id")),
    responses(
        (status = 200, body = Drain),
        (status = 404, body = ApiError, description = "No such node"),
        (status = 503, body = ApiError, description = "The node is not there"),
    )
)]
pub(in crate::http) async fn undrain(
    State(app): State<App>,
    Segment(id): Segment,
) -> Reply<Json<Drain>> {
    Ok(Json(app.backend.drain(id, false, None).await?))
}
