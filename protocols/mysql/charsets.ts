/** The character sets that clients may speak, by the number of a collation: what a name is, and what is safe. */

/**
 * Sets in which a byte below 0x80 may be the second half of a character, so that a quote or a backslash is not
 * always one. Collation numbers are MySQL's; MariaDB adds 1024 for its NOPAD variants.
 */
const UNSAFE: ReadonlyMap<string, readonly number[]> = new Map([
  ['big5', [1, 84]],
  ['sjis', [13, 88]],
  ['gbk', [28, 87]],
  ['cp932', [95, 96]],
  ['gb18030', [248, 249, 250]],
])

const NAMES: ReadonlyMap<string, readonly number[]> = new Map([
  ...UNSAFE,
  ['latin1', [5, 8, 15, 31, 47, 48, 49, 94]],
  ['ascii', [11, 65]],
  ['utf8mb3', [33, 76, 83]],
  ['utf8mb4', [45, 46]],
  ['binary', [63]],
])

/** Sets that every parser of texts reads the same. */
const SAFE: ReadonlySet<string> = new Set([
  'utf8',
  'utf8mb3',
  'utf8mb4',
  'latin1',
  'ascii',
  'binary',
  'default',
])

/** The set's name where it is a common or an unsafe one, else its collation's number. */
export function charsetName(collation: number): string {
  for (const [name, collations] of NAMES) if (collations.includes(collation % 1024)) return name
  if (collation >= 192 && collation <= 223) return 'utf8mb3'
  if ((collation >= 224 && collation <= 247) || (collation >= 255 && collation <= 323)) return 'utf8mb4'
  return `collation ${collation}`
}

export function isUnsafeCollation(collation: number): boolean {
  return UNSAFE.has(charsetName(collation))
}

/** Only in these are bytes above 0x7f parts of names: in others some of them are white space. */
export function isUtf8(name: string): boolean {
  return /^utf8(?:mb[34])?$/i.test(name)
}

/** For a set that a statement names: what is not known to be safe is not. */
export function isSafeCharset(name: string): boolean {
  return SAFE.has(name.toLowerCase())
}
