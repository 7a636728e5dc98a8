//! What other services ask for, each by a grant of its own.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use chassis::caller::FromService;
use chassis::identity::Grant;
use chassis::json::{Json, Query};
use chassis::refuse::Refusal;
use contract::internal::accounts::{
    DeletedAccounts, DeletedQuery, Exchange, Exchanged, MinimalUser, NewAccount, Redeem, Redeemed,
    UsersQuery,
};

use super::wire;
use crate::denied::Denied;
use crate::error::Error;
use crate::users::Users;
use crate::visitor::Visitor;

pub(super) async fn exchange_key(
    State(users): State<Arc<Users>>,
    service: FromService,
    Json(body): Json<Exchange>,
) -> Result<Json<Exchanged>, Error> {
    service.require(Grant::Exchange).map_err(|_| Denied::NotGranted)?;
    Ok(Json(users.exchange_key(&body.key).await?))
}

pub(super) async fn redeem_ticket(
    State(users): State<Arc<Users>>,
    service: FromService,
    Json(body): Json<Redeem>,
) -> Result<Json<Redeemed>, Refusal> {
    service.require(Grant::Redeem)?;
    Ok(Json(users.redeem_ticket(&body.ticket).await?))
}

pub(super) async fn find_users(
    State(users): State<Arc<Users>>,
    service: FromService,
    Query(query): Query<UsersQuery>,
) -> Result<Json<Vec<MinimalUser>>, Refusal> {
    service.require(Grant::Users)?;
    let found = users.find_people(&query).await?;
    Ok(Json(found.into_iter().map(wire::minimal).collect()))
}

pub(super) async fn make_account(
    State(users): State<Arc<Users>>,
    service: FromService,
    by: Visitor,
    Json(body): Json<NewAccount>,
) -> Result<(StatusCode, Json<MinimalUser>), Refusal> {
    service.require(Grant::Accounts)?;
    let account = users.make_account(&service.0, &body, by.address).await?;
    Ok((StatusCode::CREATED, Json(wire::minimal(account))))
}

pub(super) async fn list_deleted(
    State(users): State<Arc<Users>>,
    service: FromService,
    Query(query): Query<DeletedQuery>,
) -> Result<Json<DeletedAccounts>, Refusal> {
    service.require(Grant::Users)?;
    Ok(Json(users.deleted(query).await?))
}
