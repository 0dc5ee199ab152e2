import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type CheckOptions, check } from '../../../src/cli/check.ts'
import { configOrFail } from '../../../src/cli/io.ts'
import { temporaryFolder } from '../../support/access.ts'
import { changed, SMALL } from '../../support/config.ts'
import { captureIo, exitOf } from '../../support/io.ts'

const folder = temporaryFolder()
const file = join(folder, 'config.yaml')
const baseline = join(folder, 'access.lock.json')

async function run(text: string, options: Partial<CheckOptions> = {}) {
  writeFileSync(file, text)
  const { io, out, err } = captureIo()
  return { code: await exitOf(check({ file, format: 'text', ...options }, io), io), out: out(), err: err() }
}

const BAD = changed([['max_rows: 100', 'max_rows: many, really: 100%']])

describe('a configuration', () => {
  test('that is sound', async () => {
    expect(await run(SMALL)).toEqual({ code: 0, out: '', err: `${file} is sound\n` })
    expect(await run(SMALL, { format: 'json' })).toEqual({
      code: 0,
      out: '{\n  "faults": [],\n  "drift": []\n}\n',
      err: '',
    })
  })

  test('that is not, in words, as JSON and as annotations', async () => {
    const bad = changed([['max_rows: 100', 'max_rows: "100%"']])
    const message = 'expected a number, found "100%"'
    expect(await run(bad)).toEqual({
      code: 1,
      out: `${file}:32:15  roles.reader.max_rows  ${message}\n`,
      err: '',
    })
    const { out } = await run(bad, { format: 'json' })
    expect(JSON.parse(out)).toEqual({
      faults: [{ file, line: 32, column: 15, path: 'roles.reader.max_rows', message }],
      drift: [],
    })
    expect((await run(bad, { format: 'github' })).out).toBe(
      `::error file=${file},line=32,col=15::roles.reader.max_rows expected a number, found "100%25"\n`,
    )
  })

  test('whose faults hold control characters moves no cursor', async () => {
    const { out } = await run(changed([['max_rows: 100', 'max_rows: "\\e[2J"']]))
    expect(out).not.toContain('\u001b')
  })

  test('that is not there', async () => {
    const { io, out } = captureIo()
    expect(await check({ file: '/nowhere.yaml', format: 'text' }, io)).toBe(1)
    const told = '/nowhere.yaml:1:1  there is no such file\n'
    expect(out()).toBe(told)
    await expect(configOrFail('/nowhere.yaml')).rejects.toThrow(`${told}  next: --config FILE names another`)
  })
})

describe('the baseline of access', () => {
  test('is written on demand and then agrees', async () => {
    expect(await run(SMALL, { baseline, writeBaseline: true })).toEqual({
      code: 0,
      out: '',
      err: `${baseline} written\n`,
    })
    expect(JSON.parse(readFileSync(baseline, 'utf8'))).toEqual({
      version: 2,
      access: { alice: { orders: ['reader: at most 100 rows'] }, ci: {} },
      reading: { alice: [], ci: [] },
      logins: { alice: [], ci: [] },
      listeners: { postgres: ['postgres 127.0.0.1:6432'] },
      targets: {
        orders: ['postgres db-1.internal:5432 as app', 'label env=prod'],
        web: [
          'ssh web-1.internal:22 as deploy',
          'host key ssh-ed25519 SHA256:2Fb0cYJEGAEWR9mIRLWLsAqKcyYlzdWlvZ5lCkYN6Uw',
          ...['allow shell', 'allow exec', 'allow sftp', 'env LANG', 'env LC_*'],
        ],
      },
      policies: ['no-bare-delete: {"verb":["DELETE"],"where":"none"}'],
      gateway: ['control socket: whoever reaches it', 'parameters: mask'],
    })
    const reordered = changed([['groups: [engineering]', 'groups: [engineering, security]']])
    expect(await run(reordered, { baseline })).toMatchObject({ code: 0 })
  })

  test.each([
    [
      'somebody more',
      '{ group: engineering, role: reader }',
      '{ group: engineering, role: reader }\n  - { user: ci, role: reader, expires: 2027-06-30 }',
      'added access.ci.orders: ["reader: at most 100 rows; until 2027-07-01T00:00Z"]',
    ],
    [
      'another limit',
      'max_rows: 100',
      'max_rows: 1000',
      'removed access.alice.orders: "reader: at most 100 rows"\nadded access.alice.orders: "reader: at most 1000 rows"',
    ],
    [
      'a policy less',
      '  - id: no-bare-delete\n    when: { verb: [DELETE], where: none }\n    then: deny\n',
      '  []\n',
      'removed policies: "no-bare-delete: {\\"verb\\":[\\"DELETE\\"],\\"where\\":\\"none\\"}"',
    ],
    [
      'another host behind a name',
      'db-1.internal',
      'db-2.internal',
      'removed targets.orders: "postgres db-1.internal:5432 as app"\nadded targets.orders: "postgres db-2.internal:5432 as app"',
    ],
  ])('tells %s, and exits with 5', async (_, from, to, drift) => {
    await run(SMALL, { baseline, writeBaseline: true })
    const { code, out } = await run(changed([[from, to]]), { baseline })
    expect([code, out]).toEqual([5, `${drift}\n`])
  })

  test('tells drift as JSON and as annotations', async () => {
    await run(SMALL, { baseline, writeBaseline: true })
    const wider = changed([['address: web-1', 'forward: ["*:*"]\n    address: web-1']])
    expect(JSON.parse((await run(wider, { baseline, format: 'json' })).out)).toEqual({
      faults: [],
      drift: [{ path: 'targets.web', after: 'forward *:*' }],
    })
    expect((await run(wider, { baseline, format: 'github' })).out).toMatch(
      /^::error file=.*,line=1,col=1::added targets\.web: "forward/,
    )
  })

  test('is written nowhere but where it is told', async () => {
    const told = '--write-baseline needs to know which file: --baseline FILE\n'
    expect(await run(SMALL, { writeBaseline: true })).toEqual({ code: 2, out: '', err: told })
  })

  test('of an older version, which did not speak of all, is no agreement', async () => {
    writeFileSync(baseline, JSON.stringify({ version: 1, access: {} }))
    expect(await run(SMALL, { baseline })).toMatchObject({
      code: 2,
      err: expect.stringMatching(/has version 1 and speaks of less than version 2: .*--write-baseline/),
    })
  })

  test('that cannot be read is an error of usage', async () => {
    writeFileSync(join(folder, 'bad.json'), '{')
    expect(await run(SMALL, { baseline: join(folder, 'bad.json') })).toMatchObject({
      code: 2,
      err: expect.stringMatching(/^reading the baseline .*bad\.json: /),
    })
  })
})

test('faults keep baselines out of it', async () => {
  expect(await run(BAD, { baseline })).toMatchObject({ code: 1 })
})
