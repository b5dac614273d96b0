/**
 * Responses of Hrana 3 in Protocol Buffers, made of their JSON. Infinities are NULL here as they are there. Pure.
 */
import { ProtobufWriter } from './protobuf.ts';

/** The JSON of a response, of this module's own making or the encoder's, so that its shape is known. */
type Response = {
  readonly type: string;
  readonly baton: string | null;
  readonly base_url: string | null;
  readonly results: readonly Response[];
  readonly response: Response;
  readonly error: { readonly message: string; readonly code: string };
  readonly request_id: number;
  readonly result: unknown;
  readonly entries: readonly Response[];
  readonly done: boolean;
  readonly is_autocommit: boolean;
  readonly step: number;
  readonly cols: readonly Column[];
  readonly row: readonly Value[];
  readonly affected_row_count: number;
  readonly last_insert_rowid: string | null;
};
type Column = { readonly name: string | null; readonly decltype: string | null };
type Value = { readonly type: string; readonly value: string | number; readonly base64: string };
type Result = {
  readonly cols: readonly Column[];
  readonly rows: readonly (readonly Value[])[];
  readonly affected_row_count: number;
  readonly last_insert_rowid: string | null;
};
type BatchJson = {
  readonly step_results: readonly (Result | null)[];
  readonly step_errors: readonly (Response['error'] | null)[];
};
type Description = {
  readonly params: readonly { readonly name: string | null }[];
  readonly cols: readonly Column[];
  readonly is_explain: boolean;
  readonly is_readonly: boolean;
};

/** The answer to a pipeline. @param json as the JSON encoder writes it. */
export function writePipeline(json: string): Buffer {
  const writer = new Writer();
  writer.pipeline(JSON.parse(json));
  return writer.wire.finish();
}

/** A message of the server on a WebSocket. @param json as the JSON encoder writes it. */
export function writeSocketMessage(json: string): Buffer {
  const writer = new Writer();
  writer.socketMessage(JSON.parse(json));
  return writer.wire.finish();
}

/** The head or entries of a cursor over HTTP, each with its length before it. @param lines JSON texts, one a line. */
export function writeCursor(lines: string): Buffer {
  const writer = new Writer();
  for (const line of lines.split('\n')) {
    if (line === '') continue;
    const json = JSON.parse(line);
    writer.wire.delimited(() => {
      if ('baton' in json) writer.batonOf(json);
      else writer.cursorEntry(json);
    });
  }
  return writer.wire.finish();
}

/** The place of each type of response: over HTTP, and on a WebSocket. */
const responseFields: Readonly<Record<string, readonly [number, number]>> = {
  close: [1, 0],
  execute: [2, 4],
  batch: [3, 5],
  sequence: [4, 9],
  describe: [5, 10],
  store_sql: [6, 11],
  close_sql: [7, 12],
  get_autocommit: [8, 13],
  open_stream: [0, 2],
  close_stream: [0, 3],
  open_cursor: [0, 6],
  close_cursor: [0, 7],
  fetch_cursor: [0, 8],
};

class Writer {
  readonly wire = new ProtobufWriter();

  pipeline(body: Response): void {
    this.batonOf(body);
    for (const result of body.results) {
      this.wire.message(3, () => {
        if (result.type === 'error') this.wire.message(2, () => this.error(result.error));
        else this.wire.message(1, () => this.response(result.response, 0));
      });
    }
  }

  batonOf(body: Response): void {
    if (body.baton !== null) this.wire.string(1, body.baton);
    if (body.base_url !== null) this.wire.string(2, body.base_url);
  }

  socketMessage(message: Response): void {
    const { wire } = this;
    switch (message.type) {
      case 'hello_ok':
        wire.message(1, () => {});
        break;
      case 'hello_error':
        wire.message(2, () => wire.message(1, () => this.error(message.error)));
        break;
      case 'response_ok':
        wire.message(3, () => {
          wire.integer(1, message.request_id);
          this.response(message.response, 1);
        });
        break;
      default:
        wire.message(4, () => {
          wire.integer(1, message.request_id);
          wire.message(2, () => this.error(message.error));
        });
        break;
    }
  }

  cursorEntry(entry: Response): void {
    const { wire } = this;
    switch (entry.type) {
      case 'step_begin':
        wire.message(1, () => {
          wire.integer(1, entry.step);
          this.columns(2, entry.cols);
        });
        break;
      case 'step_end':
        wire.message(2, () => this.counts(1, entry));
        break;
      case 'step_error':
        wire.message(3, () => {
          wire.integer(1, entry.step);
          wire.message(2, () => this.error(entry.error));
        });
        break;
      case 'row':
        wire.message(4, () => this.row(entry.row));
        break;
      default:
        wire.message(5, () => this.error(entry.error));
        break;
    }
  }

  private response(response: Response, place: 0 | 1): void {
    const field = responseFields[response.type]?.[place] ?? 0;
    this.wire.message(field, () => this.content(response));
  }

  private content(response: Response): void {
    const { wire } = this;
    switch (response.type) {
      case 'execute':
        wire.message(1, () => this.result(response.result as Result));
        break;
      case 'batch':
        wire.message(1, () => this.batch(response.result as BatchJson));
        break;
      case 'describe':
        wire.message(1, () => this.description(response.result as Description));
        break;
      case 'get_autocommit':
        wire.bool(1, response.is_autocommit);
        break;
      case 'fetch_cursor':
        for (const entry of response.entries) wire.message(1, () => this.cursorEntry(entry));
        wire.bool(2, response.done);
        break;
    }
  }

  private result(result: Result): void {
    this.columns(1, result.cols);
    for (const row of result.rows) this.wire.message(2, () => this.row(row));
    this.counts(3, result);
  }

  /** Two fields in a row: rows affected, and the last rowid. */
  private counts(field: number, result: Pick<Result, 'affected_row_count' | 'last_insert_rowid'>): void {
    this.wire.integer(field, result.affected_row_count);
    if (result.last_insert_rowid !== null) this.wire.sint64(field + 1, BigInt(result.last_insert_rowid));
  }

  /** Results and errors of a batch are maps from the number of the step. */
  private batch(batch: BatchJson): void {
    const entry = (field: number, step: number, write: () => void) =>
      this.wire.message(field, () => {
        this.wire.integer(1, step);
        this.wire.message(2, write);
      });
    for (const [step, result] of batch.step_results.entries())
      if (result !== null) entry(1, step, () => this.result(result));
    for (const [step, error] of batch.step_errors.entries())
      if (error !== null) entry(2, step, () => this.error(error));
  }

  private description(description: Description): void {
    const { wire } = this;
    for (const { name } of description.params)
      wire.message(1, () => {
        if (name !== null) wire.string(1, name);
      });
    this.columns(2, description.cols);
    wire.bool(3, description.is_explain);
    wire.bool(4, description.is_readonly);
  }

  private columns(field: number, columns: readonly Column[]): void {
    for (const { name, decltype } of columns) {
      this.wire.message(field, () => {
        if (name !== null) this.wire.string(1, name);
        if (decltype !== null) this.wire.string(2, decltype);
      });
    }
  }

  private row(row: readonly Value[]): void {
    for (const value of row) this.wire.message(1, () => this.value(value));
  }

  private value(value: Value): void {
    const { wire } = this;
    switch (value.type) {
      case 'integer':
        wire.sint64(2, BigInt(value.value));
        break;
      case 'float':
        wire.double(3, Number(value.value));
        break;
      case 'text':
        wire.string(4, String(value.value));
        break;
      case 'blob':
        wire.base64(5, value.base64);
        break;
      default:
        wire.message(1, () => {});
        break;
    }
  }

  private error(error: Response['error']): void {
    this.wire.string(1, error.message);
    this.wire.string(2, error.code);
  }
}
