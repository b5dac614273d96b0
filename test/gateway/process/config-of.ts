/** The file of a gateway on a deployment of one machine, as it is read: what a test says beside it, or instead. */
export const configOf = (changes: object): object => ({
  cluster: 'shop',
  secret: 'the secret of the cluster',
  region: 'us-east-1',
  gateway: 'g1',
  listen: '127.0.0.1:7011',
  agent: '127.0.0.1:7010',
  nodes: [1, 2, 3, 4, 5, 6].map((n) => ({ node: `n${n}`, az: 'a', address: `127.0.0.1:${7000 + n}` })),
  nats: { servers: ['nats://127.0.0.1:7012'], token: 'token' },
  regions: ['us-east-1'],
  ...changes,
});
