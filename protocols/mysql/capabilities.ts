/**
 * The flags by which client and server agree on the shape of what follows. MySQL's own are 32 bits; MariaDB has
 * as many again, sent where MySQL has reserved bytes, and shows by an unset CLIENT_MYSQL that they are there.
 */

/** MySQL's flags, under the names of its documentation without CLIENT_. */
export const FLAG = {
  /** Called LONG_PASSWORD by MySQL; a MariaDB server leaves it out to tell what it is. */
  MYSQL: 0x1,
  FOUND_ROWS: 0x2,
  LONG_FLAG: 0x4,
  CONNECT_WITH_DB: 0x8,
  NO_SCHEMA: 0x10,
  COMPRESS: 0x20,
  ODBC: 0x40,
  LOCAL_FILES: 0x80,
  IGNORE_SPACE: 0x100,
  PROTOCOL_41: 0x200,
  INTERACTIVE: 0x400,
  SSL: 0x800,
  IGNORE_SIGPIPE: 0x1000,
  TRANSACTIONS: 0x2000,
  RESERVED: 0x4000,
  SECURE_CONNECTION: 0x8000,
  MULTI_STATEMENTS: 0x1_0000,
  MULTI_RESULTS: 0x2_0000,
  PS_MULTI_RESULTS: 0x4_0000,
  PLUGIN_AUTH: 0x8_0000,
  CONNECT_ATTRS: 0x10_0000,
  PLUGIN_AUTH_LENENC: 0x20_0000,
  CAN_HANDLE_EXPIRED_PASSWORDS: 0x40_0000,
  SESSION_TRACK: 0x80_0000,
  DEPRECATE_EOF: 0x100_0000,
  OPTIONAL_RESULTSET_METADATA: 0x200_0000,
  ZSTD_COMPRESSION: 0x400_0000,
  QUERY_ATTRIBUTES: 0x800_0000,
  MULTI_FACTOR: 0x1000_0000,
  CAPABILITY_EXTENSION: 0x2000_0000,
  SSL_VERIFY_SERVER_CERT: 0x4000_0000,
  REMEMBER_OPTIONS: 0x8000_0000,
} as const

/** MariaDB's flags, from bit 32 on. */
export const EXTENDED = {
  PROGRESS: 0x1,
  COM_MULTI: 0x2,
  BULK_OPERATIONS: 0x4,
  EXTENDED_METADATA: 0x8,
  CACHE_METADATA: 0x10,
  BULK_UNIT_RESULTS: 0x20,
} as const

/** Plain numbers without sign, so that they survive being written down. */
export interface Capabilities {
  readonly flags: number
  readonly extended: number
}

/** Both sides' flags that shape a handshake only: each leg settles them for itself. */
const HANDSHAKE_FLAGS =
  FLAG.MYSQL |
  FLAG.CONNECT_WITH_DB |
  FLAG.PROTOCOL_41 |
  FLAG.SSL |
  FLAG.SECURE_CONNECTION |
  FLAG.PLUGIN_AUTH |
  FLAG.CONNECT_ATTRS |
  FLAG.PLUGIN_AUTH_LENENC |
  FLAG.SSL_VERIFY_SERVER_CERT |
  FLAG.REMEMBER_OPTIONS

/** Flags that change what statements mean or what answers look like, and that the relay can read under. */
const SESSION_FLAGS =
  FLAG.FOUND_ROWS |
  FLAG.LONG_FLAG |
  FLAG.NO_SCHEMA |
  FLAG.ODBC |
  FLAG.LOCAL_FILES |
  FLAG.IGNORE_SPACE |
  FLAG.INTERACTIVE |
  FLAG.IGNORE_SIGPIPE |
  FLAG.TRANSACTIONS |
  FLAG.RESERVED |
  FLAG.MULTI_STATEMENTS |
  FLAG.MULTI_RESULTS |
  FLAG.PS_MULTI_RESULTS |
  FLAG.CAN_HANDLE_EXPIRED_PASSWORDS |
  FLAG.SESSION_TRACK |
  FLAG.DEPRECATE_EOF |
  FLAG.OPTIONAL_RESULTSET_METADATA |
  FLAG.QUERY_ATTRIBUTES

/** Compression, bulk execution and several factors are not among them: never offered, refused when used. */
const SESSION_EXTENDED = EXTENDED.PROGRESS | EXTENDED.EXTENDED_METADATA | EXTENDED.CACHE_METADATA

/** Flags after which the bytes are framed in another way: who sets one unoffered cannot be understood. */
export const UNREADABLE_FLAGS = FLAG.COMPRESS | FLAG.ZSTD_COMPRESSION

export function has(capabilities: Capabilities, flag: number): boolean {
  return (capabilities.flags & flag) !== 0
}

export function hasExtended(capabilities: Capabilities, flag: number): boolean {
  return (capabilities.extended & flag) !== 0
}

/** Unsigned: JavaScript's own `&` and `|` make bit 31 a sign. */
export function capabilities(flags: number, extended: number): Capabilities {
  return { flags: flags >>> 0, extended: extended >>> 0 }
}

/** What of a target's flags a client may be offered: what is known here, and the flags of our own handshake. */
export function offerable(target: Capabilities, offer: { tls: boolean; localFiles: boolean }): Capabilities {
  let flags = target.flags & (SESSION_FLAGS | FLAG.MYSQL | FLAG.REMEMBER_OPTIONS)
  if (!offer.localFiles) flags &= ~FLAG.LOCAL_FILES
  flags |= FLAG.CONNECT_WITH_DB | FLAG.PROTOCOL_41 | FLAG.SECURE_CONNECTION
  flags |= FLAG.PLUGIN_AUTH | FLAG.PLUGIN_AUTH_LENENC | FLAG.CONNECT_ATTRS
  if (offer.tls) flags |= FLAG.SSL
  return capabilities(flags, isMariaDb(target) ? target.extended & SESSION_EXTENDED : 0)
}

/** The part of a client's flags that a target must honour, because answers pass unchanged. */
export function ofSession(client: Capabilities): Capabilities {
  return capabilities(client.flags & SESSION_FLAGS, client.extended & SESSION_EXTENDED)
}

/** Flags in `wanted` that `offered` lacks, by name; flags of a handshake do not count. */
export function lacking(wanted: Capabilities, offered: Capabilities): string[] {
  const flags = Object.entries(FLAG).filter(
    ([, bit]) => (bit & HANDSHAKE_FLAGS) === 0 && has(wanted, bit) && !has(offered, bit),
  )
  const extended = Object.entries(EXTENDED).filter(
    ([, bit]) => hasExtended(wanted, bit) && !hasExtended(offered, bit),
  )
  return [...flags, ...extended].map(([name]) => name)
}

/** What a listener for targets of several makes shows: clients tell the families apart by one flag, and read on by it. */
export function asFamily({ flags, extended }: Capabilities, family: 'mysql' | 'mariadb'): Capabilities {
  return family === 'mariadb'
    ? capabilities(flags & ~FLAG.MYSQL, extended)
    : capabilities(flags | FLAG.MYSQL, 0)
}

export function isMariaDb(server: Capabilities): boolean {
  return !has(server, FLAG.MYSQL)
}
