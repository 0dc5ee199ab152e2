/**
 * The packets of SFTP version 3 (draft-ietf-secsh-filexfer-02, OpenSSH's PROTOCOL section 4), which is what
 * OpenSSH speaks on both sides: how a stream falls into packets, and what each of them says.
 */
import { ProtocolError, Reader } from '../bytes.ts'
import { decodeForm, type Field, type Form, rest, string, text, uint32, uint64, type Value } from './wire.ts'

/** As OpenSSH has it; its own packets carry at most 255 KiB of data. */
const PACKET_LENGTH_MAX = 256 * 1024
const LENGTH_FIELD = 4
const NO_BYTES = new Uint8Array(0)

export interface Attributes {
  readonly size?: string
  readonly uid?: number
  readonly gid?: number
  /** In octal, as chmod takes it. */
  readonly permissions?: string
  readonly atime?: number
  readonly mtime?: number
}

const ATTRIBUTE = { size: 0x1, owner: 0x2, permissions: 0x4, times: 0x8, extended: 0x8000_0000 } as const
const EXTENDED_ATTRIBUTES_MAX = 64

export const attributes: Field<Attributes> = {
  read: (from) => {
    const flags = from.uint32()
    const found: { -readonly [Name in keyof Attributes]: Attributes[Name] } = {}
    if (flags & ATTRIBUTE.size) found.size = String(from.uint64())
    if (flags & ATTRIBUTE.owner) {
      found.uid = from.uint32()
      found.gid = from.uint32()
    }
    if (flags & ATTRIBUTE.permissions) found.permissions = (from.uint32() & 0o7777).toString(8)
    if (flags & ATTRIBUTE.times) {
      found.atime = from.uint32()
      found.mtime = from.uint32()
    }
    if (flags & ATTRIBUTE.extended) {
      const count = from.uint32()
      if (count > EXTENDED_ATTRIBUTES_MAX) throw new ProtocolError(`${count} extended attributes of a file`)
      for (let i = 0; i < count * 2; i++) string.read(from)
    }
    return found
  },
  write: () => {
    throw new Error('attributes are read here, not made')
  },
}

/** A path as bytes. A NUL would end it for the host and not for us. */
const path: Field<Uint8Array> = {
  read: (from) => {
    const bytes = string.read(from)
    if (bytes.includes(0)) throw new ProtocolError('a path with a NUL in it')
    return bytes
  },
  write: (to, value) => string.write(to, value),
}

const handle = string

const REQUESTS = {
  OPEN: [3, { path, flags: uint32, attributes }],
  CLOSE: [4, { handle }],
  READ: [5, { handle, offset: uint64, length: uint32 }],
  WRITE: [6, { handle, offset: uint64, data: string }],
  LSTAT: [7, { path }],
  FSTAT: [8, { handle }],
  SETSTAT: [9, { path, attributes }],
  FSETSTAT: [10, { handle, attributes }],
  OPENDIR: [11, { path }],
  READDIR: [12, { handle }],
  REMOVE: [13, { path }],
  MKDIR: [14, { path, attributes }],
  RMDIR: [15, { path }],
  REALPATH: [16, { path }],
  STAT: [17, { path }],
  RENAME: [18, { path, to: path }],
  READLINK: [19, { path }],
  /** OpenSSH has the target first, against the draft. Both stand in the record in the order of the packet. */
  SYMLINK: [20, { path, to: path }],
  EXTENDED: [200, { request: text, fields: rest }],
} as const satisfies Record<string, readonly [number, Form]>

const EXTENSIONS = {
  'posix-rename@openssh.com': { path, to: path },
  'hardlink@openssh.com': { path, to: path },
  'fsync@openssh.com': { handle },
  'statvfs@openssh.com': { path },
  'fstatvfs@openssh.com': { handle },
  'lsetstat@openssh.com': { path, attributes },
  'limits@openssh.com': {},
  'expand-path@openssh.com': { path },
  'copy-data': { handle, offset: uint64, length: uint64, to: handle, toOffset: uint64 },
} as const satisfies Record<string, Form>

const RESPONSES = {
  // Servers before version 3 end here; the message and its language are for the eye.
  STATUS: [101, { code: uint32, message: rest }],
  HANDLE: [102, { handle }],
  DATA: [103, { data: string }],
  NAME: [104, { count: uint32, names: rest }],
  ATTRS: [105, { attributes: rest }],
  EXTENDED_REPLY: [201, { fields: rest }],
} as const satisfies Record<string, readonly [number, Form]>

type Table = Record<string, readonly [number, Form]>
type Packets<T extends Table> = {
  [Name in keyof T]: { readonly type: Name; readonly id: number } & Value<T[Name][1]>
}[keyof T]

type Extensions = {
  [Name in keyof typeof EXTENSIONS]: {
    readonly type: Name
    readonly id: number
  } & Value<(typeof EXTENSIONS)[Name]>
}[keyof typeof EXTENSIONS]

/** An extension that we know stands under its own name, any other as EXTENDED. */
export type SftpRequest = Packets<typeof REQUESTS> | Extensions
export type SftpResponse = Packets<typeof RESPONSES>

const INIT = 1
const VERSION = 2

export function decodeRequest(packet: Uint8Array): SftpRequest {
  const request = decodePacket(REQUESTS, packet)
  if (request.type !== 'EXTENDED' || !Object.hasOwn(EXTENSIONS, request.request)) return request
  const name = request.request as keyof typeof EXTENSIONS
  const from = new Reader(request.fields)
  const fields = decodeForm<Form>(EXTENSIONS[name], from)
  from.end()
  return { type: name, id: request.id, ...fields } as unknown as Extensions
}

export function decodeResponse(packet: Uint8Array): SftpResponse {
  return decodePacket(RESPONSES, packet)
}

function decodePacket<T extends Table>(table: T, packet: Uint8Array): Packets<T> {
  const from = new Reader(packet.subarray(LENGTH_FIELD))
  const number = from.uint8()
  for (const name in table) {
    const [candidate, form] = table[name] ?? [0, {}]
    if (candidate !== number) continue
    const id = from.uint32()
    const fields = decodeForm(form, from)
    from.end()
    return { type: name, id, ...fields } as unknown as Packets<T>
  }
  throw new ProtocolError(`a packet of SFTP of the unknown type ${number}`)
}

/** The version of the first packet either side sends; undefined when it is another packet. */
export function versionOf(packet: Uint8Array): number | undefined {
  const from = new Reader(packet.subarray(LENGTH_FIELD))
  const type = from.uint8()
  if (type !== INIT && type !== VERSION) return undefined
  return from.uint32()
}

/** Cuts a stream into packets, each with its length field; at most one of them is held in pieces. */
export class SftpFrames {
  #pieces: Uint8Array[] = []
  #held = 0

  /** The packets that are whole now, in order. */
  push(bytes: Uint8Array): Uint8Array[] {
    const packets: Uint8Array[] = []
    this.#pieces.push(bytes)
    this.#held += bytes.length
    while (this.#held >= LENGTH_FIELD) {
      const length = new Reader(this.#peek(LENGTH_FIELD)).uint32()
      if (length < 1 || length > PACKET_LENGTH_MAX)
        throw new ProtocolError(`a packet of SFTP of ${length} bytes`)
      if (this.#held < LENGTH_FIELD + length) break
      packets.push(this.#take(LENGTH_FIELD + length))
    }
    return packets
  }

  /** The next bytes, of which there are so many, without passing them; the first piece is made as long as that. */
  #peek(length: number): Uint8Array {
    const [first = NO_BYTES] = this.#pieces
    if (first.length >= length) return first
    const head = this.#take(length)
    this.#pieces.unshift(head)
    this.#held += length
    return head
  }

  /** Where they lie in one piece they stay there, else each is copied once. */
  #take(length: number): Uint8Array {
    this.#held -= length
    const first = this.#piece(length)
    if (first.length === length) return first
    const whole = new Uint8Array(length)
    whole.set(first)
    for (let at = first.length; at < length; ) {
      const piece = this.#piece(length - at)
      whole.set(piece, at)
      at += piece.length
    }
    return whole
  }

  /** The first piece, as far as `lengthMax`. */
  #piece(lengthMax: number): Uint8Array {
    const [first = NO_BYTES] = this.#pieces
    if (first.length <= lengthMax) this.#pieces.shift()
    else this.#pieces[0] = first.subarray(lengthMax)
    return first.subarray(0, lengthMax)
  }
}
