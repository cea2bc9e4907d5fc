//! `/v1/jobs`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use starling_api::{Answer, ApiError, JobDetail, JobRequest, JobSummary, Stopped, Submitted};
use utoipa::IntoParams;

use crate::http::backend::StopTarget;
use crate::http::extract::{Body, Params, Segment};
use crate::http::reply::Reply;
use crate::http::router::App;
use crate::http::submit::spec_from_request;

/// Submit a job
///
/// Returns when the job is on disk.
#[utoipa::path(
    post,
    path = "/v1/jobs",
    tag = "jobs",
    request_body = JobRequest,
    responses(
        (status = 201, body = Submitted),
        (status = 400, body = ApiError, description = "Not understood"),
        (status = 413, body = ApiError, description = "Larger than 256 KiB"),
        (status = 422, body = ApiError, description = "A field is out of range, or no node could ever hold such a task"),
        (status = 429, body = ApiError, description = "The queue is full"),
        (status = 507, body = ApiError, description = "The disk is full: nothing was taken"),
    )
)]
pub(in crate::http) async fn submit(
    State(app): State<App>,
    Body(request): Body<JobRequest>,
) -> Reply<(StatusCode, Json<Submitted>)> {
    let spec = spec_from_request(request)?;
    Ok((StatusCode::CREATED, Json(app.backend.submit(spec).await?)))
}

/// All jobs of the cluster, newest first
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs", responses((status = 200, body = Answer<JobSummary>)))]
pub(in crate::http) async fn list(State(app): State<App>) -> Reply<Json<Answer<JobSummary>>> {
    Ok(Json(app.backend.jobs().await?))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ShowParams {
    /// Whether to list the tasks; true unless said otherwise.
    tasks: Option<bool>,
}

/// One job with its tasks
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's id or a unique beginning of it"), ShowParams),
    responses(
        (status = 200, body = JobDetail),
        (status = 404, body = ApiError, description = "No such job"),
        (status = 409, body = ApiError, description = "Several jobs begin like that"),
    )
)]
pub(in crate::http) async fn show(
    State(app): State<App>,
    Segment(id): Segment,
    Params(params): Params<ShowParams>,
) -> Reply<Json<JobDetail>> {
    let job = app.backend.job(id.parse()?, params.tasks.unwrap_or(true));
    Ok(Json(job.await?))
}

/// Stop a job's tasks
///
/// Those that run get SIGTERM, then SIGKILL after the job's grace; those that wait never start.
#[utoipa::path(
    post,
    path = "/v1/jobs/{id}/stop",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's id or a unique beginning of it")),
    responses(
        (status = 200, body = Stopped),
        (status = 404, body = ApiError, description = "No such job"),
        (status = 409, body = ApiError, description = "It is over already"),
    )
)]
pub(in crate::http) async fn stop(
    State(app): State<App>,
    Segment(id): Segment,
) -> Reply<Json<Stopped>> {
    let target = StopTarget::Job(id.parse()?);
    Ok(Json(app.backend.stop(target).await?))
}
