import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, describe, expect, test } from 'vitest'
import {
  decodeKey,
  readSecret,
  SECRET_BYTES_MAX,
  Secret,
  type SecretRef,
} from '../../../src/system/secret.ts'

const folder = mkdtempSync(join(tmpdir(), 'gatebook-secret-'))
afterAll(() => rmSync(folder, { recursive: true }))
const inFile = (name: string, content: string | Uint8Array): SecretRef => {
  const path = join(folder, name)
  writeFileSync(path, content)
  return { source: 'file', name: path }
}

test('a secret never prints itself', () => {
  const secret = new Secret('hunter2')
  const shown = [
    `${secret}`,
    String(secret),
    JSON.stringify({ secret }),
    inspect(secret),
    inspect({ a: [secret] }),
  ]
  expect(shown).toEqual(['[secret]', '[secret]', '{"secret":"[secret]"}', '[secret]', '{ a: [ [secret] ] }'])
  expect(inspect(secret, { showHidden: true, customInspect: false })).not.toContain('hunter2')
  expect(secret.text()).toBe('hunter2')
})

describe('where a secret comes from', () => {
  test('the environment', async () => {
    const secret = await readSecret({ source: 'env', name: 'PW' }, { PW: 'hunter2' })
    expect(secret.text()).toBe('hunter2')
  })

  test('a file, whose last line break is not part of it', async () => {
    const texts = ['a', 'a\n', 'a\r\n', 'a\n\n', ' a ']
    const read = texts.map(async (text, i) => (await readSecret(inFile(`s${i}`, text), {})).text())
    expect(await Promise.all(read)).toEqual(['a', 'a', 'a', 'a\n', ' a '])
  })

  test('a program, run without a shell', async () => {
    const secret = await readSecret({ source: 'cmd', name: '/bin/echo one $HOME' }, {})
    expect(secret.text()).toBe('one $HOME')
  })
})

test.each<[string, SecretRef, string]>([
  [
    'a variable that is not set',
    { source: 'env', name: 'PW' },
    'reading the secret env:PW: the variable is not set',
  ],
  [
    'a file that is not there',
    { source: 'file', name: '/nowhere' },
    'reading the secret file:/nowhere: there is no such file',
  ],
  [
    'a device without end',
    { source: 'file', name: '/dev/zero' },
    `reading the secret file:/dev/zero: longer than ${SECRET_BYTES_MAX} bytes`,
  ],
  [
    'a program that fails',
    { source: 'cmd', name: '/bin/false' },
    'reading the secret cmd:/bin/false: the program failed (1)',
  ],
  [
    'a program that says nothing',
    { source: 'cmd', name: '/bin/true' },
    'reading the secret cmd:/bin/true: it is empty',
  ],
])('%s is the operator’s to put right', async (_, ref, message) => {
  await expect(readSecret(ref, {})).rejects.toMatchObject({ name: 'OperatorError', code: 'secret', message })
})

test('what a failing program printed is not kept anywhere in the error', async () => {
  const script = inFile('leak.sh', 'echo hunter2; exit 3').name
  const error = await readSecret({ source: 'cmd', name: `/bin/sh ${script}` }, {}).catch(
    (thrown: unknown) => thrown,
  )
  expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('hunter2')
  expect(String(error)).toBe(
    `OperatorError: reading the secret cmd:/bin/sh ${script}: the program failed (3)`,
  )
})

test('a key is 32 bytes in strict base64', () => {
  const bytes = Uint8Array.from({ length: 32 }, (_, i) => i)
  const text = Buffer.from(bytes).toString('base64')
  expect(new Uint8Array(decodeKey(new Secret(text), 'KEK'))).toEqual(bytes)
  const short = Buffer.from(bytes.subarray(1)).toString('base64')
  for (const bad of [
    short,
    text.slice(1),
    `${text} `,
    text.replace('=', ''),
    text.replace('A', '*'),
    bytes,
  ]) {
    expect(() => decodeKey(new Secret(bad), 'the KEK')).toThrow(
      'the KEK: expected 32 bytes in base64, 44 characters',
    )
  }
})
