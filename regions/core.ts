/** The pure half of the door: what cores of the gateway import. */
export type { ApiError, ApiReply, EventSink } from './api/core/api-routes.ts';
export type { Described, SchemaName } from './api/core/api-schemas.ts';
export { branchStatus, postgresBase, withUrl, withUrls } from './branches/core/branch-request.ts';
export { decodeAck, parseJson, type ShipAck, subjectsOf } from './bus/core/messages.ts';
export {
  type Branch,
  branchesOf,
  branchLimits,
  branchNamed,
  headOfBranch,
} from './control/core/branch-list.ts';
export { noBranchReason, reignOfBranch } from './control/core/branch-record.ts';
export type { ControlReading, ControlStore, ControlWrite } from './control/core/control-port.ts';
export {
  type ControlRecord,
  type Holder,
  isMember,
  policyOf,
  sameHolder,
} from './control/core/control-record.ts';

export { type ControlProblem, ControlSight } from './control/core/control-sight.ts';
export { defaultLeaseLimits, type LeaseLimits } from './control/core/lease.ts';
export { moveLimits } from './control/core/move-limits.ts';
export { describeReading, formatAge, notMemberReason } from './control/core/record-claims.ts';
export type { Rewind } from './control/core/rewind-record.ts';
export { WriterRole } from './control/writer/core/writer-role.ts';
export type {
  EndReason,
  RoleEffect,
  RoleEvent,
  WriterPhase,
} from './control/writer/core/writer-role-events.ts';
export { type EngineKind, engineKinds } from './deploy/core/engine-kinds.ts';
export { gatewayStop, gatewayStopMs } from './deploy/core/gateway-stop.ts';
export {
  chooseLoss,
  type LossAnswer,
  type Unanswered,
  unansweredOf,
  whoIsMissing,
} from './moves/core/loss-answers.ts';
export { type LossReport, lossReportSchema, mergeLosses } from './moves/core/loss-report.ts';
export { operationTrace } from './moves/core/move-spans.ts';
export {
  type AgentReply,
  type AgentRequest,
  agentReplySchema,
  operationRegion,
  operationSchema,
} from './moves/core/operations.ts';
export { type Place, parsePlace, placeForms } from './place/core/place.ts';
export { readVerifier, type Verifier, writeVerifier } from './postgres/core/verifier.ts';
export { readinessOf } from './readiness/core/readiness.ts';
export { owedBytes } from './replication/core/branch-loans.ts';
export { CommitMarks } from './replication/core/commit-marks.ts';
export { StallWatch } from './replication/core/stall-watch.ts';
export { ClusterView } from './status/core/cluster-view.ts';
export type { DatabaseReport } from './status/core/database-report.ts';
export { endpointsIn } from './status/core/endpoints.ts';
export { type GatewayReport, nodeReportSchema, type Report, reportSchema } from './status/core/report.ts';
export { reportLimits } from './status/core/report-limits.ts';
export { ReportPace } from './status/core/report-pace.ts';
export { ReportReader } from './status/core/report-reader.ts';
export type { WriteTotals } from './status/core/write-totals.ts';
export { covers, type Scope, type ScopeReading, scopeOf, scopes } from './tokens/core/scope.ts';
