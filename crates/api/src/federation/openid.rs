//! `GET /_matrix/federation/v1/openid/userinfo`

use axum::{
    Json,
    extract::{Query, State},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{ApiError, App};

#[derive(Deserialize)]
pub(crate) struct Parameters {
    access_token: Option<String>,
}

/// Not by ruma's type: a missing token is a 401 here, not a bad request.
pub(crate) async fn get_openid_userinfo(
    State(app): State<App>,
    query: Result<Query<Parameters>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let Query(parameters) =
        query.map_err(|_| ApiError::invalid_param("the query cannot be read"))?;
    let token = parameters.access_token.filter(|token| !token.is_empty());
    let token = token.ok_or_else(ApiError::missing_token)?;
    match app.accounts.openid_user(&token).await? {
        Some(user) => Ok(Json(json!({ "sub": user }))),
        None => Err(ApiError::unknown_token(false)),
    }
}
