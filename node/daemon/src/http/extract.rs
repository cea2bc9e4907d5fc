//! Reading requests, with errors that name the field.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use serde::de::DeserializeOwned;
use starling_api::{ApiError, codes};

use super::reply::Refusal;

/// The largest request body: several times the largest job.
pub(super) const MAX_BODY: usize = 256 * 1024;

/// A JSON body, whatever its declared type.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let bytes = Bytes::from_request(request, state).await.map_err(|error| {
            let text = error.body_text();
            if error.into_response().status() == StatusCode::PAYLOAD_TOO_LARGE {
                ApiError::new(codes::TOO_LARGE, "the request is too large").with_remedy(format!(
                    "keep it under {} KiB; put larger input into a file",
                    MAX_BODY / 1024
                ))
            } else {
                ApiError::new(codes::BAD_REQUEST, text)
            }
        })?;
        let mut json = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            let refusal = ApiError::new(codes::BAD_REQUEST, error.inner().to_string())
                .with_remedy("/openapi.json describes what is understood");
            // What broke off in the middle has no name yet.
            if path == "." || path.ends_with('?') {
                refusal
            } else {
                refusal.with_field(&path)
            }
        })?;
        json.end()
            .map_err(|error| ApiError::new(codes::BAD_REQUEST, error.to_string()))?;
        Ok(Self(value))
    }
}

/// Query parameters.
pub(super) struct Params<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let query = Query::<T>::try_from_uri(&parts.uri).map_err(|error| {
            ApiError::new(codes::BAD_REQUEST, error.body_text()).with_field("query")
        })?;
        Ok(Self(query.0))
    }
}

/// The one variable part of a path.
pub(super) struct Segment(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|error| {
                ApiError::new(codes::BAD_REQUEST, error.body_text()).with_field("id")
            })?;
        Ok(Self(path.0))
    }
}
