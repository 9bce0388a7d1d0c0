//! The twelve RPCs: each finds its session, hands over, and turns errors into statuses.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use futures::StreamExt;
use futures::future::join_all;
use prost::Message;
use pyrite_common::lifecycle::TaskKind;
use pyrite_engine::error::SparkError;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use crate::artifacts::Upload;
use crate::context::{Context, Shared};
use crate::error::{handle_error, invalid_plan, to_status};
use crate::execute::{Execution, run};
use crate::operation::{Begin, Operation, Position, Reattachable, ResponseStream, attach};
use crate::session::{Reconnect, Session, SessionKey};
use crate::wire::execute_plan_request::request_option::RequestOption;
use crate::wire::generated::spark_connect_service_server::SparkConnectService;
use crate::wire::get_status_response::{OperationStatus, operation_status::OperationState};
use crate::wire::interrupt_request::{Interrupt, InterruptType};
use crate::wire::release_execute_request::Release;
use crate::wire::*;

/// The service over the server's shared parts.
pub struct ConnectService {
    shared: Shared,
}

impl ConnectService {
    /// A service; the transport is `server.rs`'s.
    pub fn new(shared: Shared) -> ConnectService {
        ConnectService { shared }
    }

    fn open(&self, id: String, user: Option<UserContext>, observed: Option<&str>) -> Result<Context, Status> {
        let session =
            self.shared.sessions.get_or_open(key(id, user), observed).map_err(|error| to_status(&error, None))?;
        Ok(Context { shared: self.shared.clone(), session })
    }

    fn find(&self, id: String, user: Option<UserContext>) -> Result<Arc<Session>, Status> {
        let key = key(id, user);
        self.shared.sessions.get(&key).ok_or_else(|| {
            to_status(&handle_error("SESSION_NOT_FOUND", &key.session_id, "the session was not found"), None)
        })
    }

    fn start(&self, context: Context, operation: Arc<Operation>, plan: Plan) {
        let execution = Execution { context, operation };
        let task = async move {
            run(execution, plan).await;
            Ok::<(), SparkError>(())
        };
        self.shared.lifecycle.spawn(TaskKind::Background, "execution", task);
    }
}

fn key(session_id: String, user: Option<UserContext>) -> SessionKey {
    SessionKey { user_id: user.map(|user| user.user_id).unwrap_or_default(), session_id }
}

/// The status of an error in a session, remembered there.
fn status(session: &Session) -> impl Fn(SparkError) -> Status + '_ {
    |error| session.errors.status(error)
}

/// The same for the same plan sent twice: how often each byte occurs in its encoding, since the entries of a map (the
/// options of a source, say) come in another order each time.
fn plan_hash(plan: &Plan) -> u64 {
    let mut counts = [0_u64; 256];
    for byte in plan.encode_to_vec() {
        counts[usize::from(byte)] += 1;
    }
    let mut hasher = DefaultHasher::new();
    counts.hash(&mut hasher);
    hasher.finish()
}

fn reattachable(request: &ExecutePlanRequest) -> Reattachable {
    let asked = request.request_options.iter().any(|option| {
        matches!(&option.request_option, Some(RequestOption::ReattachOptions(options)) if options.reattachable)
    });
    if asked { Reattachable::Yes } else { Reattachable::No }
}

#[tonic::async_trait]
impl SparkConnectService for ConnectService {
    type ExecutePlanStream = ResponseStream;
    type ReattachExecuteStream = ResponseStream;

    async fn execute_plan(&self, request: Request<ExecutePlanRequest>) -> Result<Response<ResponseStream>, Status> {
        let request = request.into_inner();
        let reattachable = reattachable(&request);
        let observed = request.client_observed_server_side_session_id.as_deref();
        let context = self.open(request.session_id, request.user_context, observed)?;
        let session = context.session.clone();
        let plan = request.plan.ok_or_else(|| status(&session)(invalid_plan("the request has no plan")))?;
        let begin = session
            .operations
            .begin(request.operation_id, plan_hash(&plan), request.tags, reattachable)
            .map_err(status(&session))?;
        let operation = match begin {
            Begin::Known(operation) => operation,
            Begin::New(operation) => {
                self.start(context, operation.clone(), plan);
                operation
            }
        };
        Ok(Response::new(attach(operation, Position::START)))
    }

    async fn analyze_plan(
        &self,
        request: Request<AnalyzePlanRequest>,
    ) -> Result<Response<AnalyzePlanResponse>, Status> {
        let mut request = request.into_inner();
        let observed = request.client_observed_server_side_session_id.take();
        let context =
            self.open(std::mem::take(&mut request.session_id), request.user_context.take(), observed.as_deref())?;
        let answer = crate::analyze::handle(&context, request).await;
        answer.map(Response::new).map_err(status(&context.session))
    }

    async fn config(&self, request: Request<ConfigRequest>) -> Result<Response<ConfigResponse>, Status> {
        let mut request = request.into_inner();
        let observed = request.client_observed_server_side_session_id.take();
        let context =
            self.open(std::mem::take(&mut request.session_id), request.user_context.take(), observed.as_deref())?;
        let name = crate::config::name_given(&request);
        let answer = crate::config::handle(&context.session, request);
        if let Some(name) = name {
            context.shared.driver.rename(&name);
        }
        answer.map(Response::new).map_err(status(&context.session))
    }

    async fn add_artifacts(
        &self,
        request: Request<Streaming<AddArtifactsRequest>>,
    ) -> Result<Response<AddArtifactsResponse>, Status> {
        let mut messages = request.into_inner();
        let mut upload = Upload::default();
        let mut session = None;
        while let Some(message) = messages.next().await {
            let message = message?;
            let observed = message.client_observed_server_side_session_id.as_deref();
            let context = self.open(message.session_id, message.user_context, observed)?;
            if let Some(payload) = message.payload {
                upload.message(&context.session, payload).map_err(status(&context.session))?;
            }
            session = Some(context.session);
        }
        let session = session.ok_or_else(|| to_status(&invalid_plan("the upload has no message"), None))?;
        Ok(Response::new(AddArtifactsResponse {
            session_id: session.key.session_id.clone(),
            server_side_session_id: session.server_side_id.to_string(),
            artifacts: upload.finish(),
        }))
    }

    async fn artifact_status(
        &self,
        request: Request<ArtifactStatusesRequest>,
    ) -> Result<Response<ArtifactStatusesResponse>, Status> {
        let request = request.into_inner();
        let observed = request.client_observed_server_side_session_id.as_deref();
        let session = self.open(request.session_id, request.user_context, observed)?.session;
        let statuses = {
            let artifacts = session.artifacts.lock();
            let status = |name: &str| artifact_statuses_response::ArtifactStatus { exists: artifacts.contains(name) };
            request.names.into_iter().map(|name| (name.clone(), status(&name))).collect()
        };
        Ok(Response::new(ArtifactStatusesResponse {
            session_id: session.key.session_id.clone(),
            server_side_session_id: session.server_side_id.to_string(),
            statuses,
        }))
    }

    async fn interrupt(&self, request: Request<InterruptRequest>) -> Result<Response<InterruptResponse>, Status> {
        let request = request.into_inner();
        let interrupt_type = request.interrupt_type();
        let observed = request.client_observed_server_side_session_id.as_deref();
        let session = self.open(request.session_id, request.user_context, observed)?.session;
        let interrupted_ids = match (interrupt_type, request.interrupt) {
            (InterruptType::All, _) => session.operations.interrupt(|_| true),
            (InterruptType::Tag, Some(Interrupt::OperationTag(tag))) => {
                session.operations.interrupt(|operation| operation.tags.contains(&tag))
            }
            (InterruptType::OperationId, Some(Interrupt::OperationId(id))) => {
                session.operations.interrupt(|operation| operation.id == id)
            }
            _ => return Err(status(&session)(invalid_plan("the interrupt names nothing"))),
        };
        Ok(Response::new(InterruptResponse {
            session_id: session.key.session_id.clone(),
            server_side_session_id: session.server_side_id.to_string(),
            interrupted_ids,
        }))
    }

    async fn reattach_execute(
        &self,
        request: Request<ReattachExecuteRequest>,
    ) -> Result<Response<ResponseStream>, Status> {
        let request = request.into_inner();
        let session = self.find(request.session_id, request.user_context)?;
        let operation = session.operations.find(&request.operation_id).map_err(status(&session))?;
        let from = match request.last_response_id.as_deref() {
            None | Some("") => Position::START,
            Some(id) => operation.position_after(id).ok_or_else(|| {
                status(&session)(handle_error("RESPONSE_NOT_FOUND", id, "the response is not of this operation"))
            })?,
        };
        Ok(Response::new(attach(operation, from)))
    }

    async fn release_execute(
        &self,
        request: Request<ReleaseExecuteRequest>,
    ) -> Result<Response<ReleaseExecuteResponse>, Status> {
        let request = request.into_inner();
        let session = self.find(request.session_id, request.user_context)?;
        let id = request.operation_id;
        let found = session.operations.get(&id);
        match (request.release, &found) {
            (Some(Release::ReleaseUntil(until)), Some(operation)) => operation.release_until(&until.response_id),
            (Some(Release::ReleaseAll(_)), Some(_)) => {
                session.operations.release(&id);
            }
            // As Spark: releasing what is gone is fine.
            _ => {}
        }
        Ok(Response::new(ReleaseExecuteResponse {
            session_id: session.key.session_id.clone(),
            server_side_session_id: session.server_side_id.to_string(),
            operation_id: found.map(|_| id),
        }))
    }

    async fn release_session(
        &self,
        request: Request<ReleaseSessionRequest>,
    ) -> Result<Response<ReleaseSessionResponse>, Status> {
        let request = request.into_inner();
        let key = key(request.session_id, request.user_context);
        let reconnect = if request.allow_reconnect { Reconnect::Allowed } else { Reconnect::Refused };
        let released = self.shared.sessions.release(&key, reconnect);
        if let Some(session) = &released {
            tracing::debug!(session = %key.session_id, "session released");
            session.close_listener();
            session.operations.clear();
            join_all(session.take_queries().into_iter().map(|query| async move { query.stop().await })).await;
        }
        Ok(Response::new(ReleaseSessionResponse {
            session_id: key.session_id,
            server_side_session_id: released.map(|session| session.server_side_id.to_string()).unwrap_or_default(),
        }))
    }

    async fn fetch_error_details(
        &self,
        request: Request<FetchErrorDetailsRequest>,
    ) -> Result<Response<FetchErrorDetailsResponse>, Status> {
        let request = request.into_inner();
        let session = self.find(request.session_id, request.user_context)?;
        let mut details = session.errors.details(&request.error_id).unwrap_or_default();
        details.session_id = session.key.session_id.clone();
        details.server_side_session_id = session.server_side_id.to_string();
        Ok(Response::new(details))
    }

    async fn clone_session(
        &self,
        request: Request<CloneSessionRequest>,
    ) -> Result<Response<CloneSessionResponse>, Status> {
        let request = request.into_inner();
        let session = self.find(request.session_id, request.user_context)?;
        let new_session_id = request.new_session_id.unwrap_or_else(|| Uuid::new_v4().to_string());
        let clone = self.shared.sessions.insert(session.clone_as(new_session_id)).map_err(status(&session))?;
        Ok(Response::new(CloneSessionResponse {
            session_id: session.key.session_id.clone(),
            server_side_session_id: session.server_side_id.to_string(),
            new_session_id: clone.key.session_id.clone(),
            new_server_side_session_id: clone.server_side_id.to_string(),
        }))
    }

    async fn get_status(&self, request: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        let request = request.into_inner();
        let session = self.find(request.session_id, request.user_context)?;
        let asked = request.operation_status.map(|status| status.operation_ids).unwrap_or_default();
        let operation_statuses = if asked.is_empty() {
            session.operations.list().iter().map(|operation| status_of(&operation.id, Some(operation))).collect()
        } else {
            asked.iter().map(|id| status_of(id, session.operations.get(id).as_deref())).collect()
        };
        Ok(Response::new(GetStatusResponse {
            session_id: session.key.session_id.clone(),
            server_side_session_id: session.server_side_id.to_string(),
            operation_statuses,
            extensions: Vec::new(),
        }))
    }
}

fn status_of(id: &str, operation: Option<&Operation>) -> OperationStatus {
    let state = match operation.map(|operation| (operation.outcome(), operation.cancel.is_cancelled())) {
        None => OperationState::Unknown,
        Some((Some(Ok(())), _)) => OperationState::Succeeded,
        Some((Some(Err(_)), true)) => OperationState::Cancelled,
        Some((Some(Err(_)), false)) => OperationState::Failed,
        Some((None, true)) => OperationState::Terminating,
        Some((None, false)) => OperationState::Running,
    };
    OperationStatus { operation_id: id.to_owned(), state: state.into(), extensions: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::read::{DataSource, ReadType};
    use crate::wire::{Read, Relation, plan, relation};

    fn read_of(format: &str) -> Plan {
        let options = (0..8).map(|index| (format!("option{index}"), index.to_string())).collect();
        let source = DataSource { format: Some(format.to_owned()), options, ..DataSource::default() };
        let read = Read { is_streaming: true, read_type: Some(ReadType::DataSource(source)) };
        let relation = Relation { rel_type: Some(relation::RelType::Read(read)), ..Relation::default() };
        Plan { op_type: Some(plan::OpType::Root(relation)) }
    }

    #[test]
    fn a_plan_sent_twice_is_known_in_whatever_order_its_options_come() {
        // Each map has an order of its own.
        let hashes: std::collections::BTreeSet<u64> = (0..16).map(|_| plan_hash(&read_of("kafka"))).collect();
        assert_eq!(hashes.len(), 1);
        assert_ne!(plan_hash(&read_of("kafka")), plan_hash(&read_of("rate")));
    }
}
