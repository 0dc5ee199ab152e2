import { createHash, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  type Attempt,
  Identity,
  type LoginResult,
  VERIFIERS_TRIED,
} from '../../../src/access/authenticate.ts'
import { readDirectory } from '../../../src/access/directory.ts'
import { scramVerifier } from '../../../src/access/verifier.ts'
import { type AccessDesk, openDesk } from '../../support/access.ts'
import { changed, loadGood } from '../../support/config.ts'

const PRINT = 'SHA256:MUrBmKIzm/SoHYzdBWN4PDC5wHxWbJO1BTe1jFvZnnM'
const KEY = 'AAAAC3NzaC1lZDI1NTE5AAAAIBPyQ0oAAd3vZxYFgd8Sl8gjmbRp4SxWYWzpSTGyAkPP'
const SALT = Buffer.alloc(16, 7)
const ARGON2 = '$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4'

function scramText(secret: string, salt: Uint8Array): string {
  const { storedKey, serverKey } = scramVerifier(secret, salt)
  const [s, k, v] = [salt, storedKey, serverKey].map((bytes) => Buffer.from(bytes).toString('base64'))
  return `SCRAM-SHA-256$4096:${s}$${k}:${v}`
}

/** alice has an argon2id password ("password"), bob a SCRAM one ("pencil"), carol keys, ci nothing. */
const PEOPLE = changed([
  ['cert: tls.crt', 'client_ca: ca.pem, cert: tls.crt'],
  [
    '    groups: [engineering]\n',
    `    groups: [engineering]
    password: env:ALICE
  bob:
    password: env:BOB
  carol:
    ssh_keys: [ssh-ed25519 ${KEY} carol@laptop]
    certificates: [{ subject: 'CN=carol,O=Ac\\, me' }]
`,
  ],
])
const ENV = { ALICE: ARGON2, BOB: scramText('pencil', SALT) }
const HOUR = 3_600_000

let desk: AccessDesk
beforeAll(async () => {
  desk = await openDesk(PEOPLE, ENV)
})

const tokenFor = (from: AccessDesk, user: string, salt?: Uint8Array) =>
  from.accounts.createToken({ user, label: 'x', expires: from.clock.now() + HOUR, ...(salt && { salt }) })

/** What a SCRAM client with `secret` would prove, tried as the server role tries it. */
function proveScram(attempt: Attempt, secret: string): LoginResult {
  const { salt, verifiers } = attempt.scramChallenge()
  const { storedKey } = scramVerifier(secret, salt)
  const index = verifiers.findIndex((verifier) => timingSafeEqual(verifier.storedKey, storedKey))
  return index === -1 ? attempt.refuse() : attempt.provedBy(index)
}

/** What a client of mysql_native_password would prove. */
function proveNative(attempt: Attempt, secret: string): LoginResult {
  const sha1 = (...parts: (string | Uint8Array)[]) =>
    parts.reduce((hash, part) => hash.update(part), createHash('sha1')).digest()
  const scramble = Buffer.alloc(20, 9)
  const answer = sha1(secret).map((byte, i) => byte ^ (sha1(scramble, sha1(sha1(secret)))[i] ?? 0))
  const index = attempt.tokenVerifiers().findIndex(({ sha1Twice }) => {
    const once = answer.map((byte, i) => byte ^ (sha1(scramble, sha1Twice)[i] ?? 0))
    return timingSafeEqual(sha1(once), sha1Twice)
  })
  return index === -1 ? attempt.refuse() : attempt.provedBy(index)
}

const factsOf = (result: LoginResult | undefined) =>
  result?.type === 'identity' ? result.identity.facts : result

describe('who proves it is let in as themselves', () => {
  test('by an argon2id password in clear', async () => {
    expect(factsOf(await desk.begin('alice').password('password'))).toEqual({
      user: 'alice',
      sub: desk.accounts.subjectOf('alice'),
      kind: 'person',
      source: { type: 'configuration' },
      method: 'password',
    })
  })

  test('by a SCRAM password, proved or in clear', async () => {
    expect(factsOf(proveScram(desk.begin('bob'), 'pencil'))).toMatchObject({
      user: 'bob',
      method: 'password',
    })
    expect(factsOf(await desk.begin('bob').password('pencil'))).toMatchObject({
      user: 'bob',
      method: 'password',
    })
  })

  test('by a token, in every way a protocol checks it', async () => {
    const { secret, token } = tokenFor(desk, 'ci')
    const facts = { user: 'ci', kind: 'service', method: 'token', token: token.id }
    expect(factsOf(await desk.begin('ci').password(secret))).toMatchObject(facts)
    expect(factsOf(proveScram(desk.begin('ci'), secret))).toMatchObject(facts)
    expect(factsOf(proveNative(desk.begin('ci'), secret))).toMatchObject(facts)
  })

  test('by a token beside a SCRAM password, if it was made under its salt', async () => {
    const fitting = tokenFor(desk, 'bob', SALT)
    const other = tokenFor(desk, 'bob')
    expect(factsOf(proveScram(desk.begin('bob'), fitting.secret))).toMatchObject({ token: fitting.token.id })
    expect(proveScram(desk.begin('bob', '10.0.0.8'), other.secret)).toEqual({
      type: 'refused',
      code: 'bad-credential',
    })
    expect(factsOf(await desk.begin('bob').password(other.secret))).toMatchObject({ token: other.token.id })
  })

  test('by an SSH key of theirs', () => {
    const key = Buffer.from(KEY, 'base64')
    expect([
      desk.begin('carol').knowsKey(key),
      desk.begin('alice').knowsKey(key),
      desk.begin('x').knowsKey(key),
    ]).toEqual([true, false, false])
    expect(factsOf(desk.begin('carol').signedBy(key, PRINT))).toMatchObject({
      ...{ user: 'carol', method: 'ssh-key', key: PRINT },
    })
    expect(desk.begin('alice', '10.0.0.7').signedBy(key, PRINT)).toEqual({
      type: 'refused',
      code: 'bad-credential',
    })
  })

  test('by a certificate whose whole subject is theirs', () => {
    const der = (name: string) => readFileSync(join('test/vectors/access', name))
    const pem = (name: string) =>
      Buffer.from(
        der(name)
          .toString()
          .replace(/-----[^-]+-----|\s/g, ''),
        'base64',
      )
    expect(factsOf(desk.begin('carol').certificate(pem('carol.pem')))).toMatchObject({
      user: 'carol',
      method: 'certificate',
    })
    // One attribute with a comma in its value is not two attributes.
    expect(desk.begin('carol').certificate(pem('carol-forged.pem'))).toBeUndefined()
    expect(desk.begin('alice').certificate(pem('carol.pem'))).toBeUndefined()
  })
})

describe('who does not is refused, and the book alone learns why', () => {
  test.each([
    ['a wrong password', 'alice', 'wrong', 'bad-credential'],
    ['a wrong SCRAM password', 'bob', 'wrong', 'bad-credential'],
    ['no password at all', 'carol', 'password', 'bad-credential'],
    ['nobody', 'mallory', 'password', 'unknown-user'],
    ['the name of an object’s member', 'constructor', 'password', 'unknown-user'],
    ['an empty name', '', 'password', 'unknown-user'],
    ['a token that is none', 'alice', 'gatebook_aaaa', 'bad-credential'],
  ])('%s', async (_, user, secret, code) => {
    expect(await desk.begin(user, `10.1.0.${user.length}`).password(secret)).toEqual({
      type: 'refused',
      code,
    })
  })

  test('a token of somebody else', async () => {
    const { secret } = tokenFor(desk, 'alice')
    expect(await desk.begin('ci').password(secret)).toEqual({ type: 'refused', code: 'bad-credential' })
    expect(proveScram(desk.begin('ci', '10.0.0.9'), secret)).toEqual({
      type: 'refused',
      code: 'bad-credential',
    })
  })

  test('a token that is revoked, or has expired, on every path', async () => {
    const own = await openDesk(PEOPLE, ENV)
    const [late, gone] = [tokenFor(own, 'ci'), tokenFor(own, 'ci')]
    own.accounts.revokeToken(gone.token.id)
    expect(await own.begin('ci').password(gone.secret)).toEqual({ type: 'refused', code: 'bad-credential' })
    own.clock.advance(HOUR)
    const expired = { type: 'refused', code: 'expired' }
    expect(await own.begin('ci').password(late.secret)).toEqual(expired)
    expect(proveScram(own.begin('ci'), late.secret)).toEqual(expired)
    expect(proveNative(own.begin('ci'), late.secret)).toEqual(expired)
  })

  test('a token of a user whom the configuration no longer knows', async () => {
    const { secret } = desk.accounts.createToken({
      user: 'former',
      label: 'x',
      expires: desk.clock.now() + HOUR,
    })
    expect(await desk.begin('former').password(secret)).toEqual({ type: 'refused', code: 'unknown-user' })
    expect(proveScram(desk.begin('former'), secret)).toEqual({ type: 'refused', code: 'unknown-user' })
  })

  test('a verifier that was only there to fill the list', () => {
    const attempt = desk.begin('mallory', '10.0.0.6')
    attempt.scramChallenge()
    expect(attempt.provedBy(0)).toEqual({ type: 'refused', code: 'unknown-user' })
  })
})

describe('nothing tells who exists', () => {
  test('a challenge has the same shape for everybody and the same salt each time', () => {
    for (const user of ['alice', 'bob', 'ci', 'mallory']) {
      const [first, second] = [desk.begin(user).scramChallenge(), desk.begin(user).scramChallenge()]
      expect(first.salt).toEqual(second.salt)
      expect([first.salt.length, first.verifiers.length]).toEqual([16, VERIFIERS_TRIED])
      expect(desk.begin(user).tokenVerifiers()).toHaveLength(VERIFIERS_TRIED)
    }
  })

  test('a wrong password costs whoever does not exist as much argon2id as anybody', async () => {
    const slow = '$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4'
    const own = await openDesk(PEOPLE, { ...ENV, ALICE: slow })
    const cost = async (user: string, secret: string) => {
      const begin = performance.now()
      await own.begin(user).password(secret)
      return performance.now() - begin
    }
    // Without argon2id an answer takes about one millisecond.
    for (const user of ['alice', 'bob', 'carol', 'mallory'])
      expect(await cost(user, 'wrong')).toBeGreaterThan(5)
  })
})

describe('too many failures', () => {
  const fail = async (own: AccessDesk, user: string) => {
    for (let i = 0; i < 5; i++) await own.begin(user).password('wrong')
  }

  test('lock a name out from its address, answered like a wrong password', async () => {
    const own = await openDesk(PEOPLE, ENV)
    await fail(own, 'alice')
    expect(await own.begin('alice').password('password')).toEqual({ type: 'refused', code: 'locked-out' })
    expect(factsOf(await own.begin('alice', '10.0.0.2').password('password'))).toMatchObject({
      user: 'alice',
    })
    own.clock.advance(15 * 60_000)
    expect(factsOf(await own.begin('alice').password('password'))).toMatchObject({ user: 'alice' })
  })

  test('lock out SCRAM passwords too, whose challenge does not change', async () => {
    const own = await openDesk(PEOPLE, ENV)
    const before = own.begin('bob').scramChallenge()
    await fail(own, 'bob')
    expect(proveScram(own.begin('bob'), 'pencil')).toEqual({ type: 'refused', code: 'locked-out' })
    const after = own.begin('bob').scramChallenge()
    expect([after.salt, after.verifiers.length]).toEqual([before.salt, before.verifiers.length])
  })

  test('never lock out tokens and keys', async () => {
    const own = await openDesk(PEOPLE, ENV)
    const { secret } = tokenFor(own, 'carol')
    await fail(own, 'carol')
    expect(factsOf(await own.begin('carol').password(secret))).toMatchObject({ method: 'token' })
    expect(factsOf(proveScram(own.begin('carol'), secret))).toMatchObject({ method: 'token' })
    expect(factsOf(own.begin('carol').signedBy(Buffer.from(KEY, 'base64'), PRINT))).toMatchObject({
      method: 'ssh-key',
    })
  })

  test('are not forgiven by a token, which anybody at that address may have', async () => {
    const own = await openDesk(PEOPLE, ENV)
    const { secret } = tokenFor(own, 'alice')
    await fail(own, 'alice')
    await own.begin('alice').password(secret)
    expect(await own.begin('alice').password('password')).toEqual({ type: 'refused', code: 'locked-out' })
  })

  test('are counted records: the first at once, the others as one', async () => {
    const own = await openDesk(PEOPLE, ENV)
    await fail(own, 'alice')
    await own.begin('mallory', '10.0.0.2', 'ssh').password('x')
    own.authenticator.flush()
    const first = {
      type: 'login',
      act: 'pg',
      outcome: 'denied',
      code: 'bad-credential',
      sub: own.accounts.subjectOf('alice'),
    }
    expect(own.told).toEqual([
      { ...first, private: { name: 'alice', address: '10.0.0.1' } },
      {
        type: 'login',
        act: 'ssh',
        outcome: 'denied',
        code: 'unknown-user',
        private: { name: 'mallory', address: '10.0.0.2' },
      },
      {
        ...first,
        repeated: { count: 4, firstMicros: own.clock.nowMicros() },
        private: { name: 'alice', address: '10.0.0.1' },
      },
    ])
  })
})

test('a user removed by a reload is nobody from the next attempt on, and a new password is in force', async () => {
  const own = await openDesk(PEOPLE, ENV)
  const before = own.begin('bob')
  const without = changed([['  bob:\n    password: env:BOB\n', '']], PEOPLE)
  own.authenticator.reload(await readDirectory(loadGood(without).config, { ALICE: scramText('new', SALT) }))
  expect(factsOf(proveScram(before, 'pencil'))).toMatchObject({ user: 'bob' })
  expect(proveScram(own.begin('bob'), 'pencil')).toEqual({ type: 'refused', code: 'unknown-user' })
  expect(await own.begin('alice').password('password')).toEqual({ type: 'refused', code: 'bad-credential' })
  expect(factsOf(await own.begin('alice').password('new'))).toMatchObject({ user: 'alice' })
})

test('passwords that cannot be used are all named at once', async () => {
  const read = readDirectory(desk.loaded.config, { BOB: 'pencil' })
  await expect(read).rejects.toMatchObject({
    code: 'secret',
    message:
      'reading the secret env:ALICE: the variable is not set\n' +
      'users.bob.password: expected $argon2id$v=19$… or SCRAM-SHA-256$4096:…, never the password itself',
  })
})

// tsc is the judge here: without the errors it expects, it fails.
test('nobody can make an identity, and what looks like one is none', () => {
  const demand = (identity: Identity) => identity.user
  // @ts-expect-error its constructor is private
  const made = () => new Identity({ user: 'alice' })
  // @ts-expect-error a look-alike has no private fields
  const alike = () => demand({ user: 'alice', facts: {} })
  expect([made, alike]).toHaveLength(2)
})
