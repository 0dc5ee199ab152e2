import { describe, expect, test } from 'vitest'
import { decodeValue, describeArguments, describeCall } from '../../../protocols/postgres/values.ts'

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replace(/ /g, ''), 'hex'))
const utf8 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text))

// As PostgreSQL 18's own send functions write them.
describe('binary parameters are decoded by type', () => {
  test.each([
    ['bool', 16, '01', true],
    ['bool', 16, '00', false],
    ['bytea', 17, '00ff', '\\x00ff'],
    ['int8', 20, '000000000000002a', 42],
    ['int8 beyond a double', 20, '7fffffffffffffff', '9223372036854775807'],
    ['int8 negative', 20, 'ffffffffffffffff', -1],
    ['int2', 21, 'fffe', -2],
    ['int4', 23, '80000000', -2147483648],
    ['oid', 26, 'ffffffff', 4294967295],
    ['text', 25, 'c3a9', 'é'],
    ['varchar', 1043, '61', 'a'],
    ['json', 114, '7b7d', '{}'],
    ['jsonb', 3802, '01 7b7d', '{}'],
    ['float4', 700, '3fc00000', 1.5],
    ['float8', 701, 'bff8000000000000', -1.5],
    ['float8 NaN', 701, '7ff8000000000000', 'NaN'],
    ['float8 infinite', 701, 'fff0000000000000', '-Infinity'],
    ['numeric 12345.678', 1700, '0003 0001 0000 0003 0001 0929 1a7c', '12345.678'],
    ['numeric -0.00012', 1700, '0002 ffff 4000 0005 0001 07d0', '-0.00012'],
    ['numeric 0', 1700, '0000 0000 0000 0000', '0'],
    ['numeric 0.00', 1700, '0000 0000 0000 0002', '0.00'],
    ['numeric 100000000', 1700, '0001 0002 0000 0000 0001', '100000000'],
    ['numeric 0.00000001', 1700, '0001 fffe 0000 0008 0001', '0.00000001'],
    ['numeric 1e30', 1700, '00010007000000000064', '1000000000000000000000000000000'],
    [
      'numeric of 39 digits',
      1700,
      '000b000700000009000c0d801ed204d2162e23340d801ed204d2162e2328',
      '123456789012345678901234567890.123456789',
    ],
    ['numeric NaN', 1700, '0000 0000 c000 0000', 'NaN'],
    ['numeric Infinity', 1700, '0000 0000 d000 0020', 'Infinity'],
    ['date 2000-01-01', 1082, '00000000', '2000-01-01'],
    ['date 2024-02-29', 1082, '00002279', '2024-02-29'],
    ['date 1969-12-31', 1082, 'ffffd532', '1969-12-31'],
    ['date 0001-01-01', 1082, 'fff4dbf9', '0001-01-01'],
    ['date 1 BC', 1082, 'fff4dbf8', '0000-12-31'],
    ['date infinity', 1082, '7fffffff', 'infinity'],
    ['time', 1083, '0000000a88286e40', '12:33:54.024'],
    ['timestamp', 1114, '00029e938bd6ee01', '2023-05-13T15:21:36.921089'],
    ['timestamp before 2000', 1114, 'ffffffffffffffff', '1999-12-31T23:59:59.999999'],
    ['timestamptz', 1184, '0000000000000000', '2000-01-01T00:00:00Z'],
    ['timestamp -infinity', 1114, '8000000000000000', '-infinity'],
    ['interval', 1186, '00000000000f4241 00000002 00000001', 'P1M2DT1.000001S'],
    ['interval negative', 1186, 'ffffffffffe17b80 00000000 00000000', 'P0M0DT-2S'],
    ['uuid', 2950, '00112233445566778899aabbccddeeff', '00112233-4455-6677-8899-aabbccddeeff'],
    ['inet', 869, '02 20 00 04 0a000001', '10.0.0.1'],
    ['inet with mask', 869, '02 08 00 04 0a000001', '10.0.0.1/8'],
    ['cidr', 650, '02 20 01 04 0a000001', '10.0.0.1/32'],
    [
      'inet 6',
      869,
      '03 80 00 10 20010db8000000000000000000000001',
      '2001:0db8:0000:0000:0000:0000:0000:0001',
    ],
    ['macaddr', 829, '08002b010203', '08:00:2b:01:02:03'],
    ['int4[] empty', 1007, '00000000 00000000 00000017', []],
    ['int4[]', 1007, '00000001 00000001 00000017 00000002 00000001 00000004 00000001 ffffffff', [1, null]],
    [
      'text[][]',
      1009,
      '00000002 00000000 00000019 00000002 00000001 00000001 00000001 00000001 61 00000001 62',
      [['a'], ['b']],
    ],
  ] as const)('%s', (_, oid, bytes, value) => {
    expect(decodeValue(hex(bytes), oid, true, 'UTF8')).toEqual(value)
  })

  test.each([
    ['a type that is not known', 600, '00'],
    ['an int4 of three bytes', 23, '000001'],
    ['an int4 of five bytes', 23, '0000000100'],
    ['a jsonb of another version', 3802, '02 7b7d'],
    ['text that is no UTF-8', 25, 'ff'],
    ['a numeric that asks for a megabyte of zeros', 1700, '0001 7fff 0000 0000 0001'],
    ['a numeric that asks for them behind the point', 1700, '0001 0000 0000 ffff 0001'],
    ['a numeric with more digits than bytes', 1700, 'ffff 0000 0000 0000 0001'],
    ['an array of seven dimensions', 1007, '00000007 00000000 00000017'],
    ['an array longer than its bytes', 1007, '00000001 00000000 00000017 ffffffff 00000001'],
    [
      'an array with an empty inner dimension',
      1007,
      `00000006 00000000 00000017 ${'00000040 00000001 '.repeat(5)}00000000 00000001${'00'.repeat(300)}`,
    ],
    ['an array of arrays by its type', 1007, '00000001 00000000 000003ef 00000001 00000001 ffffffff'],
    ['an array with a broken element', 1007, '00000001 00000000 00000017 00000001 00000001 00000001 01'],
    ['a time beyond the day', 1083, '7fffffffffffffff'],
    ['an inet of a family that is not known', 869, '09 20 00 04 0a000001'],
  ])('%s is kept as bytes', (_, oid, bytes) => {
    expect(decodeValue(hex(bytes), oid, true, 'UTF8')).toEqual({ oid, hex: bytes.replace(/ /g, '') })
  })
})

describe('text parameters', () => {
  test.each([
    ['an integer', 23, '42', 42],
    ['an integer spelled otherwise', 23, '+42', '+42'],
    ['an integer beyond a double', 20, '9223372036854775807', '9223372036854775807'],
    ['leading zeros', 23, '007', '007'],
    ['a boolean', 16, 't', true],
    ['a boolean', 16, 'false', false],
    ['a boolean spelled otherwise', 16, 'yes', 'yes'],
    ['of no known type', 0, '42', '42'],
    ['an array as its text', 1007, '{1,2}', '{1,2}'],
    ['beyond ASCII', 25, 'Größe', 'Größe'],
  ])('%s', (_, oid, text, value) => {
    expect(decodeValue(utf8(text), oid, false, 'UTF8')).toEqual(value)
  })

  test('are decoded by the encoding in force, and kept as bytes where they do not fit it', () => {
    expect(decodeValue(hex('47 72 f6 df 65'), 25, false, 'LATIN1')).toBe('Größe')
    expect(decodeValue(hex('835c'), 25, false, 'SJIS')).toBe('ソ')
    expect(decodeValue(hex('f6'), 25, false, 'UTF8')).toEqual({ oid: 25, hex: 'f6' })
    expect(decodeValue(hex('f6'), 25, false, 'MULE_INTERNAL')).toEqual({ oid: 25, hex: 'f6' })
    expect(decodeValue(utf8('a'), 25, false, 'MULE_INTERNAL')).toBe('a')
    const long = 'a'.repeat(1000)
    expect(decodeValue(utf8(long), 25, false, 'LATIN1')).toBe(long)
  })
})

describe('the parameters of one Bind', () => {
  const bind = (values: (Uint8Array | null)[], formats: number[] = []) =>
    ({ type: 'bind', portal: utf8(''), statement: utf8(''), formats, values }) as const
  const described = (body: Uint8Array | undefined): string => Buffer.from(body ?? []).toString()

  test('take one format for all, one for each, or text', () => {
    const values = [hex('0000002a'), null]
    expect(described(describeArguments(bind(values, [1]), [23, 23], 'UTF8', 'keep'))).toBe('[42,null]')
    expect(
      described(describeArguments(bind([hex('0000002a'), utf8('7')], [1, 0]), [23, 23], 'UTF8', 'mask')),
    ).toBe('[42,7]')
    expect(described(describeArguments(bind([utf8('a"b')]), undefined, 'UTF8', 'keep'))).toBe('["a\\"b"]')
  })

  test('leave nothing but count and types where they are redacted', () => {
    expect(described(describeArguments(bind([utf8('secret'), null]), [25], 'UTF8', 'redact'))).toBe(
      '{"count":2,"types":[25,0]}',
    )
    const call = { type: 'call', oid: 1598, formats: [], values: [utf8('secret')], resultFormat: 0 } as const
    expect(described(describeCall(call, 'UTF8', 'redact'))).toBe('{"function":1598,"args":{"count":1}}')
  })

  test('are nothing where there are none', () => {
    expect(describeArguments(bind([]), undefined, 'UTF8', 'keep')).toBeUndefined()
  })
})
