/** The door of regions: what the gateway may import. */

export { type AdminAct, auditLog } from './api/audit.ts';
export { openapi } from './api/core/openapi.ts';
export { type Admission, mountApi, type Right } from './api/mount.ts';
export { holdsSecret } from './api/secret.ts';
export {
  type NatsConnection,
  type NatsMessage,
  openNatsConnection,
  type RequestOutcome,
} from './bus/nats-connection.ts';
export { natsSecurity } from './bus/nats-security.ts';
export { type Changed, changeControl } from './control/control-link.ts';
export { openControlStore } from './control/control-store.ts';
export * from './core.ts';
export {
  advertiseSchema,
  natsSchema,
  refineNats,
  refineRegion,
  regionsSchema,
} from './deploy/agent-config.ts';
export { gatewayPart } from './deploy/region-file.ts';
export { type DrillLink, drillLink } from './drills/run/drill-link.ts';
export { sealNodes } from './moves/seal-old-region.ts';
export { timeText } from './place/time-text.ts';
export { makeVerifier, saltBytes, verifierIterations } from './postgres/make-verifier.ts';
