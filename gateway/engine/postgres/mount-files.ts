/**
 * The files of a volume as a file system of emscripten's, so that PostgreSQL finds its data directory there.
 *
 * Emscripten looks names up once and keeps a node for each, so other pages need another mount: nodes of the old one would name
 * files that the new pages lack. What PostgreSQL spills while it sorts and hashes (`base/pgsql_tmp`) lies in memory beside
 * the volume: it is gone with the engine, and would only be redo.
 */
import { FileError, type FileErrorCode } from './core/file-error.ts';
import { fileKind, type Ino, rootIno } from './core/inode-table.ts';
import type { VolumeFiles } from './core/volume-files.ts';

/** Where PostgreSQL keeps what it spills, from its data directory. A directory of this name is in every base image. */
export const spillPath = 'base/pgsql_tmp';

/** What is used of emscripten's `FS`. */
export interface EmscriptenFs {
  readonly ErrnoError: new (errno: number) => Error;
  /** `mount.type` is the file system in memory that emscripten begins with. */
  readonly root: { readonly mount: { readonly type: object } };
  createNode(parent: FsNode | null, name: string, mode: number, device: number): FsNode;
  mount(type: object, options: object, at: string): unknown;
  unmount(at: string): void;
}

/** A node of emscripten's tree, with the inode that it stands for. */
interface FsNode {
  name: string;
  mode: number;
  readonly parent: FsNode;
  node_ops: object;
  stream_ops: object;
  ino?: Ino;
}

interface FsStream {
  readonly node: FsNode;
  position: number;
  /** The files that hold the inode while the stream is open. */
  heldBy?: VolumeFiles;
}

interface Attributes {
  readonly mode?: number;
  readonly size?: number;
}

export interface MountedFiles {
  /**
   * What went wrong since the last call, other than what PostgreSQL knows as an error number. It was thrown through the engine
   * and has left it in an undefined state: the engine and its changed pages are to be thrown away. Until it is taken, every
   * operation throws it again.
   */
  takeFault(): Error | null;
}

/** Error numbers as emscripten's C library has them. */
const errno: Readonly<Record<FileErrorCode, number>> = {
  EEXIST: 20,
  EFBIG: 22,
  EINVAL: 28,
  EISDIR: 31,
  ENAMETOOLONG: 37,
  ENOENT: 44,
  ENOTDIR: 54,
  ENOTEMPTY: 55,
  EPERM: 63,
};

/** Files of a volume have no times. */
const noTime = new Date(0);
const blockBytes = 4096;

/**
 * Mounts a volume's files on a directory that exists. Whoever is to look in between (to cancel, to show a sign of life) can do so in
 * `files`.
 * @param files asked at every operation; other files than before need `unmountFiles` and another mount
 * @throws PageUnavailable, and nothing is mounted
 */
export function mountFiles(fs: EmscriptenFs, files: () => VolumeFiles, at: string): MountedFiles {
  const mounted = new FilesMount(fs, files);
  const spills = mounted.hasDirectory(spillPath);
  fs.mount(mounted.type(), {}, at);
  if (spills) fs.mount(fs.root.mount.type, {}, `${at}/${spillPath}`);
  return mounted;
}

/**
 * The other half of `mountFiles`: forgets every name. Streams that are open are to be closed before, after `files` gives other files:
 * nothing is asked of pages that are given up.
 */
export function unmountFiles(fs: EmscriptenFs, at: string): void {
  fs.unmount(at);
}

class FilesMount implements MountedFiles {
  private readonly fs: EmscriptenFs;
  private readonly current: () => VolumeFiles;
  private readonly notFound: Error;
  private readonly nodeOps = this.nodeOperations();
  private readonly streamOps = this.streamOperations();
  private fault: Error | null = null;
  /** The engine's memory as bytes, as long as it is the same. */
  private seen: { readonly heap: ArrayBufferView; readonly bytes: Uint8Array } | null = null;

  constructor(fs: EmscriptenFs, files: () => VolumeFiles) {
    this.fs = fs;
    this.current = files;
    // Most names that are looked up are not there: one error for all saves as many stacks.
    this.notFound = new fs.ErrnoError(errno.ENOENT);
  }

  takeFault(): Error | null {
    const { fault } = this;
    this.fault = null;
    return fault;
  }

  type(): object {
    return { mount: () => this.node(null, '/', rootIno, fileKind.directory | 0o700), syncfs: this.synced };
  }

  hasDirectory(path: string): boolean {
    let ino: Ino | null = rootIno;
    for (const name of path.split('/')) ino = ino === null ? null : this.current().find(ino, name);
    return ino !== null;
  }

  private readonly synced = (_mount: unknown, _populate: boolean, done: (error: null) => void): void =>
    done(null);

  private node(parent: FsNode | null, name: string, ino: Ino, mode: number): FsNode {
    const node = this.fs.createNode(parent, name, mode, 0);
    node.ino = ino;
    node.node_ops = this.nodeOps;
    node.stream_ops = this.streamOps;
    return node;
  }

  /** Runs an operation; a `FileError` is thrown on as the number that C code knows. */
  private run<T>(act: (files: VolumeFiles) => T): T {
    if (this.fault !== null) throw this.fault;
    try {
      return act(this.current());
    } catch (error) {
      throw this.failed(error);
    }
  }

  private failed(error: unknown): Error {
    if (error instanceof FileError) return new this.fs.ErrnoError(errno[error.code]);
    this.fault = error instanceof Error ? error : new Error(String(error));
    return this.fault;
  }

  private nodeOperations() {
    return {
      getattr: (node: FsNode) => this.run((files) => attributesOf(files, inoOf(node))),
      setattr: (node: FsNode, { mode, size }: Attributes) =>
        this.run((files) => {
          if (size !== undefined) files.truncate(inoOf(node), size);
          if (mode === undefined) return;
          files.setMode(inoOf(node), mode);
          node.mode = mode;
        }),
      lookup: (parent: FsNode, name: string) => {
        const found = this.run((files) => {
          const ino = files.find(inoOf(parent), name);
          return ino === null ? null : { ino, mode: files.stat(ino).mode };
        });
        if (found === null) throw this.notFound;
        return this.node(parent, name, found.ino, found.mode);
      },
      mknod: (parent: FsNode, name: string, mode: number) => {
        const ino = this.run((files) => files.create(inoOf(parent), name, mode));
        return this.node(parent, name, ino, mode);
      },
      rename: (node: FsNode, directory: FsNode, name: string) => {
        this.run((files) => files.rename(inoOf(node.parent), node.name, inoOf(directory), name));
        node.name = name;
      },
      unlink: (parent: FsNode, name: string) => this.run((files) => files.unlink(inoOf(parent), name)),
      rmdir: (parent: FsNode, name: string) =>
        this.run((files) => files.removeDirectory(inoOf(parent), name)),
      readdir: (node: FsNode) => this.run((files) => ['.', '..', ...files.list(inoOf(node))]),
      symlink: (parent: FsNode, name: string, target: string) => {
        const ino = this.run((files) => files.link(inoOf(parent), name, target));
        return this.node(parent, name, ino, fileKind.link | 0o777);
      },
      readlink: (node: FsNode) => this.run((files) => files.readLink(inoOf(node))),
    };
  }

  private streamOperations() {
    return {
      open: (stream: FsStream) =>
        this.run((files) => {
          files.hold(inoOf(stream.node));
          stream.heldBy = files;
        }),
      dup: (stream: FsStream) => this.run((files) => files.hold(inoOf(stream.node))),
      close: (stream: FsStream) =>
        this.run((files) => {
          // Files that are gone hold nothing any more.
          if (stream.heldBy === files) files.release(inoOf(stream.node));
        }),
      llseek: (stream: FsStream, offset: number, whence: number) => {
        const size = whence === 2 ? this.run((files) => files.stat(inoOf(stream.node)).size) : 0;
        const position = offset + (whence === 1 ? stream.position : size);
        if (position < 0) throw new this.fs.ErrnoError(errno.EINVAL);
        return position;
      },
      read: (stream: FsStream, into: ArrayBufferView, at: number, length: number, position: number) => {
        if (this.fault !== null) throw this.fault;
        try {
          return this.current().read(inoOf(stream.node), this.bytesOf(into), at, length, position);
        } catch (error) {
          throw this.failed(error);
        }
      },
      write: (stream: FsStream, from: ArrayBufferView, at: number, length: number, position: number) => {
        if (this.fault !== null) throw this.fault;
        try {
          return this.current().write(inoOf(stream.node), this.bytesOf(from), at, length, position);
        } catch (error) {
          throw this.failed(error);
        }
      },
    };
  }

  /** The engine's memory comes as signed bytes, of which nothing is copied fast. */
  private bytesOf(view: ArrayBufferView): Uint8Array {
    if (view instanceof Uint8Array) return view;
    if (this.seen?.heap === view) return this.seen.bytes;
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    this.seen = { heap: view, bytes };
    return bytes;
  }
}

function inoOf(node: FsNode): Ino {
  if (node.ino === undefined) throw new Error(`${node.name} is no file of the volume`);
  return node.ino;
}

function attributesOf(files: VolumeFiles, ino: Ino) {
  const { mode, size } = files.stat(ino);
  return {
    dev: 1,
    ino,
    mode,
    nlink: 1,
    uid: 0,
    gid: 0,
    rdev: 0,
    size,
    atime: noTime,
    mtime: noTime,
    ctime: noTime,
    blksize: blockBytes,
    blocks: Math.ceil(size / blockBytes),
  };
}
