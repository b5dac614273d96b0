/**
 * What every key of a region's file means: the comments in files that are written, and the table of DEPLOY.md, which a test holds
 * to this. `[]` stands for each entry of a list.
 */
export interface RegionKey {
  readonly key: string;
  /** What it means, what is allowed, and what happens without it. */
  readonly meaning: string;
}

export const regionKeys: readonly RegionKey[] = [
  { key: 'version', meaning: 'How this file is to be read: 1.' },
  {
    key: 'cluster',
    meaning: 'Name of the deployment, the same in all its files: a to z, 0 to 9 and -, at most 63.',
  },
  { key: 'region', meaning: 'The region that this file is of: one of `regions`.' },
  {
    key: 'witness',
    meaning:
      'Instead of `region`, in the file of a machine that holds a NATS server and nothing else: its name, `witness` for the third vote of two regions, else one of `voters`.',
  },
  {
    key: 'regions',
    meaning:
      'Every region, in one order in all files, at most six. The first is the primary of a new deployment; the first three keep the control record. Once regions have come or gone while it ran, the control record counts.',
  },
  {
    key: 'voters',
    meaning:
      'Once regions have come or gone: the three NATS servers that keep the control record, each a region or a server that only votes. Without this key they follow from `regions`.',
  },
  {
    key: 'dataDir',
    meaning:
      'Directory of what this region keeps, each process in one of its own below it. Relative names begin at this file. It has to be on a local disk.',
  },
  { key: 'secrets', meaning: 'Files with the secrets, which only their owner and group may read.' },
  {
    key: 'secrets.clusterFile',
    meaning:
      'Every process proves with it that it belongs to the deployment; 16 characters or more off loopback. Without this key: $SEXTANT_SECRET.',
  },
  {
    key: 'secrets.natsTokenFile',
    meaning: 'NATS servers let agents and gateways in with it. Without this key: $SEXTANT_NATS_TOKEN.',
  },
  {
    key: 'secrets.natsRouteFile',
    meaning: 'NATS servers of different regions let each other in with it. Without this key: the NATS token.',
  },
  {
    key: 'certificatesDir',
    meaning:
      'Directory with the certificates of the processes here, as `sextant certs` makes it: `<region>/<role>/<name>/`. Needed off loopback; with it processes encrypt, know each other by certificate, and need no NATS token.',
  },
  { key: 'nodes', meaning: 'The six storage nodes: two in each of three availability zones.' },
  { key: 'nodes[].node', meaning: 'Name of the node: `--node` of `sextant storage`. It stays for good.' },
  { key: 'nodes[].az', meaning: 'Its availability zone: what fails together.' },
  { key: 'nodes[].address', meaning: 'host:port that it listens on, and that this region reaches it at.' },
  {
    key: 'nodes[].dataDir',
    meaning:
      'Directory of its log and images, for a disk of its own. Without this key: `<dataDir>/<node>/data`.',
  },
  {
    key: 'pgBytes',
    meaning:
      'Span of a protection group in bytes, a multiple of 4096, at least 1 MiB, of the volume that the first region makes when it first writes. Without this key: 10 GiB. A volume that is there keeps its own.',
  },
  {
    key: 'retention',
    meaning:
      'How much of the log the nodes keep below their page images. Without this key: `hours: 24`, and as many bytes as that takes.',
  },
  {
    key: 'retention.hours',
    meaning:
      'History that is kept to be read, and how long a region may be away and still be brought up from the log. More than 0, at most 87600.',
  },
  {
    key: 'retention.bytes',
    meaning:
      'Most bytes of log on each node, at least 1 MiB; what is beyond goes although it is younger. What a region lacks that is away is kept up to twice as many.',
  },
  {
    key: 'backup',
    meaning:
      'Where the agent uploads the log and page images of this region, all the time: a directory or an S3 bucket. Without this key: nowhere.',
  },
  {
    key: 'backup.directory',
    meaning: 'A directory, of another disk or a file server. Relative names begin at this file.',
  },
  { key: 'backup.s3', meaning: 'Instead of a directory: a bucket of AWS or of another S3 server.' },
  {
    key: 'backup.s3.endpoint',
    meaning: 'http(s)://host:port of the server. Without this key: AWS.',
  },
  { key: 'backup.s3.region', meaning: 'The region of the store. Without this key: us-east-1.' },
  { key: 'backup.s3.bucket', meaning: 'The bucket. It has to be there.' },
  { key: 'backup.s3.prefix', meaning: 'What all names in the bucket begin with.' },
  {
    key: 'backup.s3.credentialsFile',
    meaning:
      'File with aws_access_key_id and aws_secret_access_key, for its owner and group alone. Without this key: $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY.',
  },
  {
    key: 'backup.s3.pathStyle',
    meaning: 'true: the bucket is in the path and not in the host. Without this key: true with an endpoint.',
  },
  {
    key: 'backup.keepDays',
    meaning: 'A restore reaches back so many days at least, 1 to 3650. Without this key: 30.',
  },
  { key: 'agent', meaning: 'The agent: ships redo to other regions or receives it, and carries out moves.' },
  { key: 'agent.address', meaning: 'host:port that it listens on.' },
  {
    key: 'agent.dataDir',
    meaning: 'Directory of what it remembers. Without this key: `<dataDir>/agent/data`.',
  },
  {
    key: 'gateways',
    meaning:
      'Where clients connect; `[]` for a headless region, which keeps a copy and is no target of a move. Each may take any key of its own that `gateway/README.md` lists: `engine: postgres` and `postgres` among them.',
  },
  { key: 'gateways[].gateway', meaning: 'Name of the gateway: `--name` of `sextant gateway`.' },
  { key: 'gateways[].address', meaning: 'host:port that it listens on.' },
  {
    key: 'gateways[].advertise',
    meaning:
      'Where others reach it, when that is not `address`: host:port behind a NAT, or the origin of a proxy (https://db.example). Status, the console and commands name it.',
  },
  {
    key: 'endpoint',
    meaning:
      'One address for all gateways: `sextant endpoint` takes connections there and hands each to a gateway that lives. Left out: there is no such process.',
  },
  {
    key: 'endpoint.address',
    meaning: 'host:port where it serves /healthz, /readyz and /metrics. Left out: nowhere.',
  },
  {
    key: 'endpoint.writer',
    meaning: 'host:port that leads to the gateway that writes, in whatever region it is.',
  },
  {
    key: 'endpoint.reader',
    meaning:
      'host:port that leads to the gateways of this region, each connection to that which has the fewest.',
  },
  {
    key: 'endpoint.postgres',
    meaning:
      'The same two for PostgreSQL clients, where the gateways have `postgres.listen`. Left out: such clients connect to gateways only.',
  },
  {
    key: 'endpoint.postgres.writer',
    meaning: 'host:port that leads PostgreSQL clients to the gateway that writes.',
  },
  {
    key: 'endpoint.postgres.reader',
    meaning: 'host:port that leads PostgreSQL clients to the gateways of this region.',
  },
  { key: 'nats', meaning: 'The messaging server of this region, or servers that run elsewhere.' },
  {
    key: 'nats.address',
    meaning:
      'host:port where the server takes clients: the agent and the gateways of this region, nobody else.',
  },
  { key: 'nats.routeAddress', meaning: 'host:port where it takes the servers of other regions.' },
  { key: 'nats.routes', meaning: 'The servers of the other regions, and of the witness where there is one.' },
  {
    key: 'nats.routes[].region',
    meaning: 'The region that the route leads to, or a server that only votes.',
  },
  { key: 'nats.routes[].address', meaning: 'What to dial: `nats.routeAddress` of that region.' },
  {
    key: 'nats.routes[].proxied',
    meaning:
      'true: the address is that of a proxy or a tunnel to that region, and not its `nats.routeAddress`.',
  },
  {
    key: 'nats.servers',
    meaning: 'Instead of the keys above: URLs of NATS servers that run elsewhere, the nearest first.',
  },
  {
    key: 'nats.replicas',
    meaning:
      'With `servers`: copies of the control record, 1, 3 or 5. Without this key: one for a single region, else three.',
  },
];

const meanings = new Map(regionKeys.map(({ key, meaning }) => [key, meaning]));

/** What `key` means; keys that are not of this file have none. */
export const meaningOf = (key: string): string | undefined => meanings.get(key);
