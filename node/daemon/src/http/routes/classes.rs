//! `/v1/classes`.

use axum::Json;
use axum::extract::State;
use starling_api::{Answer, ClassView, InterferenceView};

use crate::http::reply::Reply;
use crate::http::router::App;

/// What the cluster has learned of each class of workloads, as this node holds it
///
/// Every node holds the same table some seconds after the last change.
#[utoipa::path(get, path = "/v1/classes", tag = "classes", responses((status = 200, body = Answer<ClassView>)))]
pub(in crate::http) async fn list(State(app): State<App>) -> Reply<Json<Answer<ClassView>>> {
    Ok(Json(app.backend.classes().await?))
}

/// Who hurts whom: how each class fares beside each other, as this node believes
///
/// Of the best measured classes, up to 48. What was measured is under `/v1/classes`.
#[utoipa::path(get, path = "/v1/interference", tag = "classes", responses((status = 200, body = Answer<InterferenceView>)))]
pub(in crate::http) async fn interference(
    State(app): State<App>,
) -> Reply<Json<Answer<InterferenceView>>> {
    Ok(Json(app.backend.interference().await?))
}
