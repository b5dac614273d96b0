import { describe, expect, test } from 'vitest';
import { engineIn } from '../../../../gateway/process/launch/core/engine-text.ts';

describe('the engine that a configuration names is told by its text', () => {
  test.each([
    ['engine: postgres\n', 'postgres'],
    ['region: r\nengine: "postgres" # for good\n', 'postgres'],
    ['  - { gateway: g1, engine: postgres, postgres: { listen: 127.0.0.1:1 } }\n', 'postgres'],
    ['{"gateway":"g1","engine":"postgres"}', 'postgres'],
    ['{"gateway": "g1", "engine" : "postgres", "auth": {}}', 'postgres'],
    ['engine: sqlite\n', 'sqlite'],
    ['# take `engine: postgres` here\nregion: r\n', 'sqlite'],
    ['gateways: # engine: postgres\n  - { gateway: g1 }\n', 'sqlite'],
    ['postgres: { listen: 127.0.0.1:1 }\n', 'sqlite'],
    ['', 'sqlite'],
  ])('%j: %s', (text, engine) => {
    expect(engineIn(text)).toBe(engine);
  });
});
