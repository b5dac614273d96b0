/** The door of regions: what the gateway may import. */

export { natsSchema, refineRegion, regionsSchema } from './agent/config.ts';
export { type NatsConnection, type NatsMessage, openNatsConnection } from './bus/nats-connection.ts';
export { openControlStore } from './control/control-store.ts';
export * from './core.ts';
