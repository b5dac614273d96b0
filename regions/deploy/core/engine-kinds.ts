/** Which SQL engine keeps the databases of a deployment. The regions only carry the choice to the gateways. */
export const engineKinds = ['sqlite', 'postgres'] as const;
export type EngineKind = (typeof engineKinds)[number];
