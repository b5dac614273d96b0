/** The door of regions: what the gateway may import. */

export { advertiseSchema, natsSchema, refineNats, refineRegion, regionsSchema } from './agent/config.ts';
export { type AdminAct, auditLog } from './api/audit.ts';
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
export { gatewayPart } from './deploy/region-file.ts';
export { sealNodes } from './moves/seal-old-region.ts';
export { timeText } from './place/time-text.ts';
export { makeVerifier, saltBytes, verifierIterations } from './postgres/make-verifier.ts';
