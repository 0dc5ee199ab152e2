import { crc32, deflateRawSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeLeaf } from '../../../src/book/entry.ts'
import {
  BUNDLE_LEAVES_MAX,
  canonical,
  canonicalJson,
  decodeBase64,
  decodeBundle,
  encodeBase64,
  encodeBundle,
  encodeEntries,
  FormatError,
  type Members,
  type Place,
  parseLeaf,
  parseMembers,
  type Ref,
} from '../../../src/book/format.ts'
import { ALWAYS, KINDS, MEMBERS } from '../../../src/book/kinds.ts'
import { leafHash } from '../../../src/book/tree.ts'
import { listVectors, readForeignVectors, readVector } from '../../support/book-vectors.ts'
import { anyRecord } from '../../support/leaves.ts'

const place: Place = {
  log: 'gw1.example/book',
  seq: 3,
  prev: 'KJa14+MFz7woT/xW4021USXtUNFIAO3gEdZzd084J+k=',
  salt: 'AwMDAwMDAwMDAwMDAwMDAw',
}
const begin: Members = {
  kind: 'op.begin',
  ts: 1763600000003000,
  sid: 'k3v5o2n7q4w6x2za',
  op: 1,
  act: 'db.query',
}

/** The code of the refusal, or what was read after all. */
function refusalOf(text: string | Uint8Array): unknown {
  try {
    return parseLeaf(typeof text === 'string' ? Buffer.from(text) : text)
  } catch (error) {
    if (error instanceof FormatError) return error.code
    throw error
  }
}

describe('the example', () => {
  test.each(listVectors('example-leaf'))('%s has the expected members, bytes and hash', (name) => {
    const { header, bytes } = readVector(name)
    const leaf = parseLeaf(bytes)
    expect(leaf).toEqual(JSON.parse(header.get('expect') ?? ''))
    const { v, log, seq, prev, salt, ...members } = leaf
    expect(Buffer.from(encodeLeaf(members, { log, seq, prev, salt }))).toEqual(bytes)
    expect(Buffer.from(leafHash(bytes)).toString('hex')).toBe(header.get('hash'))
    expect(v).toBe(1)
  })

  test('is five leaves', () => {
    expect(listVectors('example-leaf')).toHaveLength(5)
  })
})

describe('RFC 8785', () => {
  // github.com/cyberphone/json-canonicalization, testdata (Apache-2.0).
  test.each([
    ['[56,{"d":true,"10":null,"1":[]}]', '[56,{"1":[],"10":null,"d":true}]'],
    ['[333333333.33333329, 1E30, 4.50, 2e-3]', '[333333333.3333333,1e+30,4.5,0.002]'],
    ['{"b":1, "a":"\\u000f\\n\\"\\\\/"}', '{"a":"\\u000f\\n\\"\\\\/","b":1}'],
  ])('%s', (input, expected) => {
    expect(canonicalJson(JSON.parse(input))).toBe(expected)
  })

  const foreign = readForeignVectors('jcs.json') as { cases: { input: string; outputHex: string }[] }
  test('the published cases', () => {
    const cases = foreign.cases
    expect(cases).toHaveLength(6)
    for (const { input, outputHex } of cases) {
      expect(Buffer.from(canonicalJson(JSON.parse(input))).toString('hex')).toBe(outputHex)
    }
  })
})

test('every kind names members that exist, each once', () => {
  for (const { required, optional } of Object.values(KINDS)) {
    const names: string[] = [...ALWAYS, ...required, ...optional]
    expect(new Set(names).size).toBe(names.length)
    expect(names.filter((name) => !Object.hasOwn(MEMBERS, name))).toEqual([])
  }
})

test('what is written is read back, byte for byte, in canonical form', () => {
  fc.assert(
    fc.property(anyRecord, ({ members, place: at }) => {
      const bytes = encodeLeaf(members, at)
      const leaf = parseLeaf(bytes)
      expect(leaf).toEqual({ ...members, ...at, v: 1 })
      expect(canonical(leaf)).toBe(Buffer.from(bytes).toString())
      expect(canonicalJson(JSON.parse(canonical(leaf)))).toBe(canonical(leaf))
      expect(parseMembers(Buffer.from(canonical(members)))).toEqual(members)
    }),
    { numRuns: 500 },
  )
})

test('no byte of a leaf can change without being refused or read as something else', () => {
  fc.assert(
    fc.property(
      anyRecord,
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      ({ members, place: at }, where, mask) => {
        const bytes = encodeLeaf(members, at)
        const changed = Buffer.from(bytes)
        const index = where % changed.length
        changed[index] = (changed[index] ?? 0) ^ mask
        const read = refusalOf(changed)
        if (typeof read === 'string') expect(['canonical', 'schema']).toContain(read)
        else expect(canonical(read as Members)).toBe(changed.toString('latin1'))
      },
    ),
    { numRuns: 1000 },
  )
})

describe('a leaf is refused', () => {
  const good = canonical({ ...begin, ...place, v: 1 })

  test('unless it is this one', () => {
    expect(refusalOf(good)).toEqual({ ...begin, ...place, v: 1 })
  })

  test.each([
    ['white space', good.replace(',', ', ')],
    ['a newline at the end', `${good}\n`],
    ['a byte-order mark', `\uFEFF${good}`],
    ['members out of order', `{"v":1,${good.slice(1).replace(',"v":1}', '}')}`],
    ['a member twice', good.replace('"op":1', '"op":1,"op":1')],
    ['a number with a fraction', good.replace('"op":1', '"op":1.0')],
    ['a number with an exponent', good.replace('"op":1', '"op":1e0')],
    ['a number with a leading zero', good.replace('"op":1', '"op":01')],
    ['a letter escaped', good.replace('db.query', 'd\\u0062.query')],
    ['a slash escaped', good.replace('example/', 'example\\/')],
    ['no JSON at all', 'record'],
    ['nothing', ''],
    ['invalid UTF-8', Buffer.from([0x7b, 0xff, 0x7d])],
    ['nesting to the end of the stack', '['.repeat(8000) + ']'.repeat(8000)],
    ['more than 16 384 bytes', good.replace('db.query', 'x'.repeat(16_384))],
  ])('canonical: %s', (_, text) => {
    expect(refusalOf(text)).toBe('canonical')
  })

  const withRef = (ref: string): string => good.replace('"salt"', `"ref":[${ref}],"salt"`)
  const oneRef = (i: string, n: string): string => `{"h":"${place.prev}","i":${i},"n":${n},"t":"sql"}`
  const scope = (text: string): string =>
    canonical({
      ...place,
      v: 1,
      ts: 1,
      kind: 'erase',
      sid: begin.sid,
      sub: 'local',
      scope: { below: 77 },
    }).replace('{"below":77}', text)

  test.each([
    ['an unknown kind', good.replace('op.begin', 'op.start')],
    ['a kind whose dot is another character', good.replace('op.begin', 'opxbegin')],
    ['an unknown member', good.replace('"op":1', '"oo":1,"op":1')],
    ['a member of another kind', good.replace('"op":1', '"op":1,"out":"ok"')],
    ['a member missing', good.replace('"act":"db.query",', '')],
    ['its place missing', canonical(begin)],
    ['an operation 0', good.replace('"op":1', '"op":0')],
    ['a number as text', good.replace('"op":1', '"op":"1"')],
    ['a number below 0', good.replace('"op":1', '"op":-1')],
    ['null', good.replace('"op":1', '"op":null')],
    ['a number of 2^53', good.replace('"seq":3', '"seq":9007199254740992')],
    ['an empty token', good.replace('db.query', '')],
    ['a token with a space', good.replace('db.query', 'db query')],
    ['a token beyond ASCII', good.replace('db.query', 'db.qu\u00e9ry')],
    ['an act of 33 characters', good.replace('db.query', 'x'.repeat(33))],
    ['an origin with a plus', good.replace('gw1.example', 'gw1+example')],
    ['an origin that is no book', good.replace('/book', '/bock')],
    ['an origin of nothing but /book', good.replace('gw1.example/book', '/book')],
    ['another format', good.replace('"v":1', '"v":2')],
    ['a hash with spare bits', good.replace('J+k=', 'J+l=')],
    ['a hash too short', good.replace('KJa1', '')],
    ['a salt with spare bits', good.replace('MDAw"', 'MDAx"')],
    ['a session of capital letters', good.replace('k3v5', 'K3v5')],
    ['no payload in ref', good.replace('"salt"', '"ref":[],"salt"')],
    ['65 payloads', withRef(Array.from({ length: 65 }, (_, i) => oneRef(String(i), '40')).join(','))],
    ['a payload index of 2^32', withRef(oneRef('4294967296', '40'))],
    ['a payload too short for its blind', withRef(oneRef('1', '32'))],
    ['a payload beyond 1 MiB', withRef(oneRef('1', '1048610'))],
    [
      'an unknown outcome',
      canonical({ ...place, v: 1, ts: 1, kind: 'op.end', sid: begin.sid, op: 1, out: 'fine' }),
    ],
    ['an unknown cause', canonical({ ...place, v: 1, ts: 1, kind: 'suspend', why: 'whim' })],
    ['a scope of two kinds', scope('{"below":1,"sids":["k3v5o2n7q4w6x2za"]}')],
    ['an empty scope', scope('{}')],
    ['a scope of no session', scope('{"sids":[]}')],
    ['a scope index of 2^32', scope('{"refs":[["k3v5o2n7q4w6x2za",4294967296]]}')],
    ['a scope of 129 payloads', scope(`{"refs":[${Array(129).fill('["k3v5o2n7q4w6x2za",1]').join(',')}]}`)],
    ['a scope of 257 sessions', scope(`{"sids":[${Array(257).fill('"k3v5o2n7q4w6x2za"').join(',')}]}`)],
    ['an array', '[]'],
    ['null itself', 'null'],
  ])('schema: %s', (_, text) => {
    expect(refusalOf(text)).toBe('schema')
  })

  test('but the largest values pass', () => {
    const refs = Array.from({ length: 64 }, (_, i) => oneRef(String(2 ** 32 - 1 - i), '1048609')).join(',')
    expect(refusalOf(withRef(refs).replace('"seq":3', '"seq":9007199254740991'))).toMatchObject({
      seq: 2 ** 53 - 1,
    })
    expect(refusalOf(scope(`{"sids":[${Array(256).fill('"k3v5o2n7q4w6x2za"').join(',')}]}`))).toBeTypeOf(
      'object',
    )
    expect(refusalOf(scope(`{"refs":[${Array(128).fill('["k3v5o2n7q4w6x2za",1]').join(',')}]}`))).toBeTypeOf(
      'object',
    )
  })

  test('what comes with its place is no journal entry', () => {
    expect(() => parseMembers(Buffer.from(good))).toThrow(expect.objectContaining({ code: 'schema' }))
  })
})

const ref: Ref = { h: 'xm1gCMKXC1Pkr8NFIc11HFklimh7/eETgdAnIKh9RJg=', i: 1, n: 41, t: 'sql' }

describe('the writer refuses what the verifier would', () => {
  test.each<[string, Members, string]>([
    ['a missing member', { kind: 'op.begin', ts: 1, op: 1, act: 'db.query' }, 'op.begin: sid is missing'],
    ['a member of another kind', { ...begin, out: 'ok' }, 'op.begin: there is no member out'],
    ['a fraction', { ...begin, op: 1.5 }, 'op.begin: op has an impossible value'],
    ['an integer above 2^53 - 1', { ...begin, op: 2 ** 53 }, 'op.begin: op has an impossible value'],
    ['an index of 2^32', { ...begin, ref: [{ ...ref, i: 2 ** 32 }] }, '4294967296 is not within'],
    ['a payload of 32 bytes', { ...begin, ref: [{ ...ref, n: 32 }] }, '32 is not within'],
    ['free text', { ...begin, rule: 'DROP TABLE t' }, 'op.begin: rule has an impossible value'],
    ['an unknown kind', { ...begin, kind: 'op.start' }, 'there is no kind "op.start"'],
    ['control characters', { ...begin, act: 'a\nb' }, 'op.begin: act has an impossible value'],
  ])('%s', (_, members, message) => {
    expect(() => encodeLeaf(members, place)).toThrow(message)
  })

  test('more than 16 384 bytes', () => {
    const ref = { h: place.prev, i: 1, n: 40, t: '\\'.repeat(128) }
    expect(() => encodeLeaf({ ...begin, ref: Array(64).fill(ref) }, place)).toThrow('op.begin: too long')
  })

  test('but takes an undefined member for an absent one', () => {
    expect(encodeLeaf({ ...begin, rule: undefined, out: undefined }, place)).toEqual(encodeLeaf(begin, place))
  })
})

describe('bundles', () => {
  const leaves = (count: number): Uint8Array[] =>
    Array.from({ length: count }, (_, seq) => encodeLeaf(begin, { ...place, seq }))
  const row = (bytes: Uint8Array, count: number, codec: number) => ({
    count,
    codec,
    crc: crc32(bytes),
    leaves: bytes,
  })

  test.each([1, 2, 8, 512])('%i leaves come back', (count) => {
    const { codec, crc, bytes } = encodeBundle(leaves(count))
    expect(codec).toBe(1)
    expect(decodeBundle({ count, codec, crc, leaves: bytes }).map((leaf) => Buffer.from(leaf))).toEqual(
      leaves(count),
    )
  })

  test('what does not compress stays as it is', () => {
    const random = Uint8Array.from({ length: 300 }, (_, i) => (i * 197 + (i >> 3) * 31) & 255)
    const { codec, bytes } = encodeBundle([random.subarray(0, 3)])
    expect({ codec, bytes: [...bytes] }).toEqual({ codec: 0, bytes: [0, 3, 0, 197, 138] })
  })

  test('no leaves, or 513, are no bundle', () => {
    expect(() => encodeBundle([])).toThrow('a bundle of 0 leaves')
    expect(() => encodeBundle(leaves(BUNDLE_LEAVES_MAX + 1))).toThrow('a bundle of 513 leaves')
    expect(() => decodeBundle(row(encodeEntries(leaves(513)), 513, 0))).toThrow('a bundle of 513 leaves')
  })

  const plain = encodeEntries(leaves(3))
  const deflated = deflateRawSync(plain)
  test.each([
    ['a wrong checksum', { ...row(deflated, 3, 1), crc: 1 }, 'the checksum of a bundle differs'],
    ['an unknown codec', row(plain, 3, 2), 'unknown codec 2'],
    ['a count too low', row(plain, 2, 0), 'the lengths of a bundle do not add up'],
    ['a count too high', row(plain, 4, 0), 'the lengths of a bundle do not add up'],
    ['a length beyond the end', row(plain.subarray(0, -1), 3, 0), 'the lengths of a bundle do not add up'],
    [
      'bytes behind the stream',
      row(Buffer.concat([deflated, Buffer.of(0)]), 3, 1),
      'bytes after a DEFLATE stream',
    ],
    ['a stream cut off', row(deflated.subarray(0, -5), 3, 1), 'a bundle does not inflate'],
    ['a stream that is none', row(Buffer.of(0xff, 0xff), 3, 1), 'a bundle does not inflate'],
    [
      'a stream of more than the leaves can hold',
      row(deflateRawSync(Buffer.alloc(16_387)), 1, 1),
      'a bundle does not inflate',
    ],
  ])('%s is refused', (_, bad, message) => {
    expect(() => decodeBundle(bad)).toThrow(expect.objectContaining({ code: 'format', message }))
  })

  test('a changed bit is found wherever it is', () => {
    const { codec, crc, bytes } = encodeBundle(leaves(2))
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(() => decodeBundle({ count: 2, codec, crc, leaves: changed })).toThrow(FormatError)
    }
  })
})

describe('base64', () => {
  test('comes back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        expect(Uint8Array.from(decodeBase64(encodeBase64(bytes)))).toEqual(bytes)
      }),
    )
  })

  test.each(['QQ', 'QR==', 'Q Q=', 'QQ==\n', 'QQ=', 'Q-==', 'QQ==QQ==', '===='])('%j is refused', (text) => {
    expect(() => decodeBase64(text)).toThrow(expect.objectContaining({ code: 'format' }))
  })
})

test('whatever the bytes are, they are read or refused', () => {
  const refused = (act: () => unknown): void => {
    try {
      act()
    } catch (error) {
      if (!(error instanceof FormatError)) throw error
    }
  }
  const text = fc.oneof(
    fc.json(),
    fc.string({ unit: 'binary' }),
    fc.string().map((inner) => `{"kind":"${inner}`),
  )
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      text,
      fc.nat(520),
      fc.nat(2),
      (bytes, json, count, codec) => {
        for (const input of [bytes, Buffer.from(json)]) {
          refused(() => parseLeaf(input))
          refused(() => parseMembers(input))
          refused(() => decodeBundle({ count, codec, crc: crc32(input), leaves: input }))
        }
        expect(bytes).toBeDefined()
      },
    ),
    { numRuns: 500 },
  )
})
