//! Bodies and patches.
use http::StatusCode;
use serde_json::{Value, json};

use super::{request::Call, status::ApiError};

/// The body of a create or update: JSON or YAML.
pub(super) fn read_body(call: &Call) -> Result<Value, ApiError> {
    let content_type = call.content_type.split(';').next().unwrap_or_default().trim();
    match content_type {
        "" | "application/json" => serde_json::from_slice(&call.body)
            .map_err(|error| ApiError::bad_request(format!("the body of the request cannot be read as JSON: {error}"))),
        "application/yaml" => yaml(&call.body),
        other => Err(ApiError::unsupported_media_type(&format!("the content type {other:?} is not read"))),
    }
}

fn yaml(bytes: &[u8]) -> Result<Value, ApiError> {
    let text = std::str::from_utf8(bytes).map_err(|error| ApiError::bad_request(error.to_string()))?;
    serde_saphyr::from_str(text)
        .map_err(|error| ApiError::bad_request(format!("the body of the request cannot be read as YAML: {error}")))
}

/// A patch, read.
pub(super) enum Patch {
    /// RFC 7386.
    Merge(Value),
    /// RFC 6902.
    Json(json_patch::Patch),
}

impl Patch {
    pub fn read(call: &Call) -> Result<Self, ApiError> {
        let content_type = call.content_type.split(';').next().unwrap_or_default().trim();
        let unreadable = |error: serde_json::Error| ApiError::bad_request(format!("error decoding patch: {error}"));
        match content_type {
            "application/merge-patch+json" => {
                let patch: Value = serde_json::from_slice(&call.body).map_err(unreadable)?;
                if !patch.is_object() {
                    return Err(ApiError::bad_request("error decoding patch: a merge patch must be an object"));
                }
                Ok(Self::Merge(patch))
            }
            "application/json-patch+json" => Ok(Self::Json(serde_json::from_slice(&call.body).map_err(unreadable)?)),
            other => Err(ApiError::unsupported_media_type(&format!("patches of the type {other:?} are not read"))),
        }
    }

    pub fn apply(&self, current: &Value) -> Result<Value, ApiError> {
        let mut object = current.clone();
        match self {
            Self::Merge(patch) => json_patch::merge(&mut object, patch),
            // Which operation failed is not said by a real server either.
            Self::Json(patch) => json_patch::patch(&mut object, patch).map_err(|_| {
                let message = "the server rejected our request due to an error in our request";
                let error = ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message);
                ApiError { details: json!({}), ..error }
            })?,
        }
        Ok(object)
    }
}
