/** Looks at the words of one statement as they pass, and keeps what they say: memory does not grow with the statement. Pure. */
import type { SqlToken } from './sql-scanner.ts';

/** Statements are told apart by their first words. */
const headTokens = 24;
const changing: ReadonlySet<string> = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE']);
const sessionLocks: ReadonlySet<string> = new Set([
  'pg_advisory_lock',
  'pg_advisory_lock_shared',
  'pg_try_advisory_lock',
  'pg_try_advisory_lock_shared',
]);
const sleeping: ReadonlySet<string> = new Set(['pg_sleep', 'pg_sleep_for', 'pg_sleep_until']);
/** Functions that change something, or mean something only where everybody's writes are. */
const changingFunctions: ReadonlySet<string> = new Set([
  'nextval',
  'setval',
  'currval',
  'lastval',
  'pg_advisory_xact_lock',
  'pg_advisory_xact_lock_shared',
  'pg_try_advisory_xact_lock',
  'pg_try_advisory_xact_lock_shared',
  'pg_current_xact_id',
  'txid_current',
  'lo_create',
  'lo_creat',
  'lo_put',
  'lo_from_bytea',
  'lo_unlink',
]);
/** Functions by which an engine knows what an operation does to its session, or asks of it: it is told of each of them. */
const sessionFunctions: ReadonlySet<string> = new Set([
  'set_config',
  'nextval',
  'setval',
  'currval',
  'lastval',
]);
/** Words that may stand between CREATE and TEMPORARY. */
const beforeTemporary: ReadonlySet<string> = new Set(['CREATE', 'OR', 'REPLACE', 'GLOBAL', 'LOCAL']);

export class WordWatch {
  /** The first tokens. */
  readonly head: SqlToken[] = [];
  #end = 0;
  #depth = 0;
  #previous: SqlToken | null = null;
  #beforePrevious: SqlToken | null = null;
  /** Of a function body in SQL, BEGIN ATOMIC … END, which has statements with semicolons inside. */
  #bodyDepth = 0;
  #sawChange = false;
  readonly #words = new Set<string>();
  /** A word that changes data stands where a statement begins. */
  writes = false;
  /** It locks rows: FOR UPDATE and the like. */
  locks = false;
  /** SELECT … INTO makes a table. */
  makesTable = false;
  isTemporary = false;
  /** It takes an advisory lock that outlives its transaction. */
  locksSession = false;
  notifies = false;
  /** It waits, and reads or writes no file meanwhile. */
  sleeps = false;
  /** It calls set_config. */
  setsByFunction = false;
  /** Functions that act on its session, by their names. */
  readonly ofSession = new Set<string>();
  /** WITH HOLD. */
  holds = false;
  /** The last of READ ONLY and READ WRITE. */
  accessMode: 'ONLY' | 'WRITE' | null = null;
  /** Of a COPY: with the client, and which way; null for a file or a program. */
  stdio: 'in' | 'out' | null = null;
  /** Of a COPY: in the binary format. */
  binary = false;
  /** Of a COPY: the names in parentheses behind the table. */
  listedColumns = 0;
  #listing: 'before' | 'inside' | 'after' = 'before';

  get isEmpty(): boolean {
    return this.head.length === 0;
  }

  get start(): number {
    return this.head[0]?.start ?? 0;
  }

  get end(): number {
    return this.#end;
  }

  /** A semicolon that comes now ends the statement. */
  get mayEnd(): boolean {
    return this.#depth <= 0 && this.#bodyDepth === 0;
  }

  /** A word of the head; empty for anything else but a symbol at the beginning. */
  word(at: number): string {
    const token = this.head[at];
    return token?.kind === 'word' || (at === 0 && token?.kind === 'symbol') ? token.text : '';
  }

  /** Whether a keyword stands in the statement, outside of parentheses. */
  has(word: string): boolean {
    return this.#words.has(word);
  }

  see(token: SqlToken): void {
    if (this.head.length < headTokens) this.head.push(token);
    this.#end = token.end;
    if (token.kind === 'symbol') this.#symbol(token);
    else {
      if (token.kind === 'word') this.#word(token.text);
      if (this.word(0) === 'COPY') this.#copy(token);
    }
    this.#beforePrevious = this.#previous;
    this.#previous = token;
  }

  #symbol({ text }: SqlToken): void {
    if (text === '(') {
      if (this.#previous !== null) this.#call(this.#previous);
      this.#depth += 1;
      if (this.word(0) === 'COPY' && this.#depth === 1 && this.#listing === 'before')
        this.#listing = this.head.length > 2 ? 'inside' : 'after';
    }
    if (text === ')') {
      this.#depth -= 1;
      if (this.#depth === 0 && this.#listing === 'inside') this.#listing = 'after';
    }
  }

  #call({ kind, text }: SqlToken): void {
    if (kind !== 'word' && kind !== 'name') return;
    const name = kind === 'word' ? text.toLowerCase() : text;
    if (sessionLocks.has(name)) this.locksSession = true;
    if (name === 'pg_notify') this.notifies = true;
    if (sleeping.has(name)) this.sleeps = true;
    if (name === 'set_config') this.setsByFunction = true;
    if (changingFunctions.has(name)) this.writes = true;
    if (sessionFunctions.has(name)) this.ofSession.add(name);
  }

  #word(text: string): void {
    const previous = this.#previous?.kind === 'name' ? '' : (this.#previous?.text ?? '');
    const verb = this.word(0);
    if (this.#depth === 0) this.#words.add(text);
    if (changing.has(text)) {
      if (previous === '' || previous === '(' || previous === ')' || verb === 'EXPLAIN') this.writes = true;
      if (previous !== 'FOR' && previous !== 'KEY') this.#sawChange = true;
    }
    if ((text === 'UPDATE' || text === 'SHARE') && (previous === 'FOR' || previous === 'KEY'))
      this.locks = true;
    if ((text === 'ONLY' || text === 'WRITE') && previous === 'READ') this.accessMode = text;
    if (text === 'HOLD' && previous === 'WITH') this.holds = true;
    this.#body(text, previous, verb);
    this.#temporary(text, previous, verb);
  }

  #body(text: string, previous: string, verb: string): void {
    if (verb !== 'CREATE') return;
    if (text === 'ATOMIC' && previous === 'BEGIN') this.#bodyDepth = 1;
    else if (this.#bodyDepth > 0 && text === 'CASE') this.#bodyDepth += 1;
    else if (this.#bodyDepth > 0 && text === 'END') this.#bodyDepth -= 1;
  }

  #temporary(text: string, previous: string, verb: string): void {
    const isTemporary = text === 'TEMP' || text === 'TEMPORARY';
    if (
      isTemporary &&
      verb === 'CREATE' &&
      this.head.slice(0, -1).every((token) => beforeTemporary.has(token.text))
    )
      this.isTemporary = true;
    if (text === 'PG_TEMP') this.isTemporary = true;
    const intoNew = previous === 'INTO' && !changing.has(this.#beforePrevious?.text ?? '');
    if (intoNew && isTemporary && verb !== 'INSERT' && verb !== 'MERGE') this.isTemporary = true;
    if (text === 'INTO' && this.#depth === 0 && !this.#sawChange) this.makesTable = true;
  }

  #copy({ kind, text }: SqlToken): void {
    const previous = this.#previous?.text ?? '';
    if (this.#listing === 'inside' && (kind === 'word' || kind === 'name')) this.listedColumns += 1;
    if (kind !== 'word') return;
    if (text === 'BINARY' && (this.#depth === 0 || previous === 'FORMAT')) this.binary = true;
    if (this.#depth !== 0) return;
    if (text === 'FROM' || text === 'TO') this.#listing = 'after';
    // PostgreSQL takes either word for either direction.
    if (text !== 'STDIN' && text !== 'STDOUT') return;
    if (previous === 'FROM') this.stdio = 'in';
    if (previous === 'TO') this.stdio = 'out';
  }
}
