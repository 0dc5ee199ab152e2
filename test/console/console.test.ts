/** The console as a person meets it: real Chromium, a real gateway, real clients behind it. */
import Database from 'better-sqlite3'
import pg from 'pg'
import type { Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { codeAt, parseCodeSecret } from '../../src/access/second-factor.ts'
import { encodeBundle } from '../../src/book/format.ts'
import { readLeafBytes } from '../../src/book/reader.ts'
import { PASSWORD } from '../support/gateway.ts'
import { faultsOf } from './accessible.ts'
import { CODE_SECRET, Setting } from './setting.ts'

let setting: Setting
let page: Page

beforeAll(async () => {
  setting = await Setting.start()
  page = await setting.browser.page()
  await setting.signIn(page)
}, 120_000)
afterAll(() => setting[Symbol.asyncDispose]())
afterEach(() => {
  expect(setting.browser.complaints.splice(0), 'no violation of the policy, no error in a script').toEqual([])
})

const visit = (path: string, on = page) => on.goto(`${setting.address}${path}`)
const heading = (name: string, on = page) => on.getByRole('heading', { name, level: 1 })

test('whoever has one-time codes is asked for one behind the password, without a mouse', async () => {
  const other = await setting.browser.page()
  await other.goto(setting.address)
  await other.getByLabel('User').fill('tom')
  await other.getByLabel('Password or personal token').fill(PASSWORD)
  expect(await other.getByLabel('One-time code').count()).toBe(0)
  await other.keyboard.press('Enter')
  const field = other.getByLabel('One-time code')
  await field.waitFor()
  await expect.poll(() => field.evaluate((input) => input === document.activeElement)).toBe(true)
  expect(await faultsOf(other)).toEqual([])
  await other.keyboard.type('000000')
  await other.keyboard.press('Enter')
  await expect.poll(() => other.getByRole('alert').innerText()).toContain('Signing in failed.')
  const step = Math.floor(setting.gateway.clock.now() / 30_000)
  await field.fill(codeAt(parseCodeSecret(CODE_SECRET, 'totp'), step))
  await other.keyboard.press('Enter')
  await other.getByRole('navigation', { name: 'Screens' }).waitFor()
  await other.context().close()
})

test('a live session of psql appears, is ended for a reason, and its user is told', async () => {
  await visit('/sessions')
  await page.getByText('Nobody is connected.').waitFor()
  const client = await setting.psql('psql <b>bold</b>')
  const ended = new Promise<Error>((resolve) => client.once('error', resolve))
  const row = page.getByRole('row').filter({ hasText: 'alice' }).filter({ hasText: 'Watch' })
  await row.waitFor()
  await row.getByRole('button', { name: 'End' }).click()
  await page.getByLabel('Reason, told to the person and recorded').fill('the shop is closed')
  await page.getByRole('button', { name: 'End the session' }).click()
  await page.getByText('Nobody is connected.').waitFor()
  expect(await ended).toMatchObject({ code: '57P01', message: expect.stringContaining('the shop is closed') })
  const past = page.getByRole('grid', { name: 'Sessions' }).getByRole('row').filter({ hasText: 'admin' })
  await past.first().waitFor()
})

test('a terminal is watched as it is written, and played again at 8 times without its pauses', async () => {
  using terminal = setting.terminal()
  await expect.poll(terminal.shown).toMatch(/[#$] /)
  terminal.type('PS1="$ "; echo first\n')
  await expect.poll(terminal.shown).toContain('first\r\n')
  await visit('/sessions')
  await page.getByRole('row').filter({ hasText: 'web' }).getByRole('link', { name: 'Watch' }).click()
  const screen = page.locator('.ap-term, .ap-terminal, .ap-player')
  await expect.poll(() => screen.first().innerText()).toContain('first')
  terminal.type('echo se""cond\n')
  await expect.poll(() => screen.first().innerText()).toMatch(/^second/m)
  terminal.type('exit\n')
  await terminal.ended

  const { pathname } = new URL(page.url())
  await visit(pathname)
  await page.locator('[data-playing] .ap-player').waitFor()
  await page.getByRole('button', { name: '8×' }).click()
  await expect.poll(() => screen.first().innerText()).toMatch(/^second/m)
  await page.getByRole('button', { name: /echo se""cond/ }).waitFor()
  await page.getByRole('tab', { name: 'Transcript' }).click()
  await expect.poll(() => page.getByRole('region', { name: 'Transcript' }).innerText()).toContain('second')
})

test('a search with a slip is helped; counts narrow it; the link finds it again', async () => {
  const client = await setting.psql()
  await client.query('SELECT name FROM products WHERE id = $1', [1])
  await client.query('DELETE FROM payments WHERE id = 1')
  await client.query('DELETE FROM payments').catch(() => undefined)
  await client.end()
  await visit('/search')
  const query = page.getByRole('combobox', { name: 'Search' })
  await query.fill('acter:alice verb:DELETE')
  await query.press('Enter')
  const problem = page.getByRole('alert')
  await expect.poll(() => problem.innerText()).toMatch(/unknown key "acter": did you mean actor\?.*column 1/s)
  await query.fill('actor:alice verb:DELETE')
  const found = page.getByRole('grid', { name: 'What was found' })
  // The index may still be behind what has just been run: then somebody searches again.
  const search = async (): Promise<number> => {
    await query.press('Enter')
    return found.getByRole('row').count()
  }
  await expect.poll(search, { interval: 500 }).toBe(3)
  expect(page.url()).toContain(`q=${encodeURIComponent('actor:alice').replaceAll('%20', '+')}`)

  await page.getByRole('button', { name: 'denied', exact: false }).first().click()
  await expect.poll(() => found.getByRole('row').count()).toBe(2)
  await page.getByRole('button', { name: 'Copy as command' }).click()
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(
    "gatebook query 'actor:alice verb:DELETE status:denied'",
  )
  await found.getByRole('row').nth(1).click()
  const panel = page.getByRole('region', { name: /^Record \d/ })
  await expect.poll(() => panel.innerText()).toContain('no-bare-delete')
  await page.reload()
  await expect.poll(() => panel.innerText()).toContain('DELETE FROM payments')
})

test('a permalink says whether its hash is still that of the record', async () => {
  await visit('/search?q=verb:SELECT')
  const record = page.getByRole('grid', { name: 'What was found' }).locator('code').first()
  const id = await record.innerText()
  await visit(`/r/${id}`)
  await page.getByText('The hash in the link is that of the record.').waitFor()
  await visit(`/r/${id.replace(/-.*/, '-00000000')}`)
  await page.getByText('The hash in the link is NOT that of this record').waitFor()
  await visit('/r/999999-00000000')
  await expect
    .poll(() => page.getByRole('main').innerText())
    .toContain('There is no such record in the book yet')
})

test('hostile content is text, everywhere', async () => {
  const evil = `<img src=x onerror="alert(1)"><script>alert(2)</script>`
  const tricks = `\u202Eevil\u202C \u001B]0;owned\u0007\u001B[31mred \u200Bzero ${evil}`
  const client = await setting.psql(`app ${evil}`)
  await client.query(`SELECT 'marker', $1::text, ${client.escapeLiteral(evil)}`, [tricks])
  await client.query(`SELECT 'marker2' /* ${tricks.replaceAll('\u0007', '')} */`)
  // One line of ten million characters: more than what is parsed, so the policy refuses it, and it is recorded whole.
  await client.query(`SELECT length('${'x'.repeat(10_000_000)}') `).catch(() => undefined)
  await client
    .query(`SELECT 1 AS "${evil.replaceAll('"', '')}", 'marker4' FROM "no ${evil.replaceAll('"', '')}"`)
    .catch(() => undefined)
  await client.end()
  for (const path of [
    '/',
    '/sessions',
    '/search?q=marker*',
    '/search',
    `/search?q=${encodeURIComponent(evil)}`,
    '/integrity',
  ]) {
    await visit(path)
    await page.getByRole('main').waitFor()
    await page.waitForLoadState('networkidle')
    expect(await page.locator('main script, main img').count(), path).toBe(0)
  }
  // The index may still be behind: then somebody looks again.
  const look = async (): Promise<string> => {
    await visit('/search?q=marker2')
    await page.waitForLoadState('networkidle')
    return page.getByRole('main').innerText()
  }
  await expect.poll(look, { interval: 500 }).toContain('marker2')
  const grid = page.getByRole('grid', { name: 'What was found' })
  await expect.poll(() => grid.innerText()).toContain('⟨U+202E⟩evil⟨U+202C⟩ ␛]0;owned')
  await expect.poll(() => grid.innerText()).toContain('<script>alert(2)</script>')
  await grid.getByRole('row').nth(1).click()
  const statement = page.getByRole('region', { name: 'Statement' })
  await expect.poll(() => statement.innerText()).toContain('␛[31mred ⟨U+200B⟩zero <img')
  await page.getByRole('link', { name: /^[a-z2-7]{16}$/ }).click()
  await expect
    .poll(() => page.getByRole('grid', { name: 'Timeline' }).innerText())
    .toContain("SELECT length('xxx")
  await page.getByRole('row').filter({ hasText: 'xxxx' }).first().click()
  await page.getByRole('button', { name: 'show more' }).first().waitFor()
  expect(await page.locator('main script, main img').count()).toBe(0)
})

test('hostile names of people and of files are text too', async () => {
  const evil = `<img src=x onerror=alert(7)>\u202Eevil`
  await setting.sftp([`mkdir "${evil}"`, `rmdir "${evil}"`])
  const stranger = { host: '127.0.0.1', port: setting.gateway.port(), user: evil, password: 'wrong' }
  await expect(new pg.Client({ ...stranger, database: 'shop' }).connect()).rejects.toThrow()
  const shownAt = async (path: string): Promise<string> => {
    await visit(path)
    await page.waitForLoadState('networkidle')
    expect(await page.locator('main script, main img').count(), path).toBe(0)
    return page.getByRole('main').innerText()
  }
  // The index may still be behind: then somebody looks again.
  const shown = (path: string) =>
    expect.poll(() => shownAt(path), { interval: 500 }).toContain('<img src=x onerror=alert(7)>⟨U+202E⟩evil')
  await shown(`/search?q=${encodeURIComponent('action:sftp.mkdir')}`)
  await page.getByRole('grid', { name: 'What was found' }).getByRole('row').nth(1).click()
  await page
    .getByRole('link', { name: /^[a-z2-7]{16}$/ })
    .first()
    .click()
  await page.waitForLoadState('networkidle')
  await shown(new URL(page.url()).pathname)
  await shown(`/search?q=${encodeURIComponent('action:auth.failed')}`)
})

test('a hundred thousand rows are a list of which only those in view are drawn', async () => {
  const many = 100_000
  const rows = Array.from({ length: many }, (_, i) => {
    const seq = many - i
    return {
      id: seq,
      seq,
      hash: 'aa',
      record: `${seq}-aaaaaaaa`,
      ts: 1e15 + seq,
      kind: 'op',
      action: 'db.query',
      text: `row ${seq}`,
    }
  })
  const own = await setting.browser.page()
  await setting.signIn(own)
  await own.route(/\/api\/v1\/search\?/, (route) => route.fulfill({ json: { rows, size: many, behind: 0 } }))
  await visit('/search?q=everything', own)
  const grid = own.getByRole('grid', { name: 'What was found' })
  await grid.getByText('row 100000', { exact: true }).waitFor()
  await grid.focus()
  await own.keyboard.press('End')
  await grid.getByText('row 1', { exact: true }).waitFor()
  expect(await grid.getByRole('row').count()).toBeLessThan(100)
  await own.keyboard.press('Home')
  await grid.getByText('row 100000', { exact: true }).waitFor()
})

test('everything is reached by keys alone', async () => {
  const client = await setting.psql()
  await client.query('SELECT 1')
  await client.end()
  const page = await setting.browser.page()
  await page.goto(setting.address)
  await page.locator('input:focus').waitFor()
  const press = (...keys: string[]) =>
    keys.reduce(async (before, key) => before.then(() => page.keyboard.press(key)), Promise.resolve())
  await page.keyboard.type('rita')
  await press('Tab')
  await page.keyboard.type(PASSWORD)
  await press('Enter')
  await heading('Overview', page).waitFor()
  await press('g', 's')
  await heading('Sessions', page).waitFor()
  await press('?')
  await page.getByRole('dialog', { name: 'Keys' }).waitFor()
  await press('Escape')
  await expect.poll(() => page.getByRole('dialog').count()).toBe(0)
  // The dialog gives the focus back when it has closed.
  await expect.poll(() => page.evaluate(() => document.activeElement?.closest('dialog') === null)).toBe(true)
  await press('/')
  await page.locator('#query:focus').waitFor()
  await page.keyboard.type('actor:alice')
  await press('Enter')
  await expect.poll(() => page.url()).toContain('actor')
  // From the search field on, Tab leads to the list; its own keys move in it.
  const grid = page.getByRole('grid', { name: 'Sessions' })
  await grid.waitFor()
  for (let i = 0; i < 40 && !(await grid.evaluate((element) => element === document.activeElement)); i++)
    await press('Tab')
  await press('j', 'j', 'k', 'Enter')
  await expect.poll(() => page.url()).toMatch(/\/sessions\/[a-z2-7]{16}/)
  await page.goBack()
  await heading('Sessions', page).waitFor()
})

const SCREENS = [
  '/',
  '/sessions',
  '/search?q=actor:alice',
  '/access?user=alice&target=orders',
  '/mine',
  '/integrity',
  '/settings',
  '/nowhere',
] as const

test.each(['light', 'dark'] as const)('every screen has names, order and contrast, %s', async (scheme) => {
  const page = await setting.browser.page()
  await page.emulateMedia({ colorScheme: scheme })
  await setting.signIn(page)
  const grounds = new Set<string>()
  for (const path of SCREENS) {
    await visit(path, page)
    await page.getByRole('heading', { level: 1 }).waitFor()
    await page.waitForLoadState('networkidle')
    expect(await faultsOf(page), path).toEqual([])
    grounds.add(await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor))
  }
  expect([...grounds]).toEqual([scheme === 'light' ? 'rgb(246, 246, 243)' : 'rgb(19, 22, 25)'])
})

test('an engineer sees their own and nothing else', async () => {
  const own = await setting.browser.page()
  await setting.signIn(own, 'alice')
  await heading('My access', own).waitFor()
  await own.getByText(`psql "host=localhost port=${setting.gateway.port()} user=alice~orders`).waitFor()
  expect(await own.getByRole('navigation').getByRole('listitem').allInnerTexts()).toEqual([
    'Sessions',
    'My access',
    'Integrity',
    'Settings',
  ])
  await visit('/sessions', own)
  await heading('My sessions', own).waitFor()
  await own.getByRole('grid', { name: 'Sessions' }).getByRole('row').nth(1).waitFor()
  expect(await faultsOf(own)).toEqual([])
})

test('the book is verified here, a proof too; and when it is tampered with, that is found out', async () => {
  await visit('/integrity')
  await page.getByRole('button', { name: 'Verify in this browser' }).click()
  const verdict = page.locator('.verdict')
  await expect
    .poll(() => verdict.first().innerText())
    .toMatch(/gw\.test\/book holds: [\d\u202f]+ records in an unbroken chain/)

  await visit('/search?q=verb:DELETE')
  const id = await page.getByRole('grid', { name: 'What was found' }).locator('code').first().innerText()
  await visit('/integrity')
  const paste = page.getByLabel('A proof (JSON), or a link to a record')
  await paste.fill(`${setting.address}/r/${id}`)
  await page.getByRole('button', { name: 'Check it' }).click()
  await expect.poll(() => verdict.last().innerText()).toMatch(/is in the book under the checkpoint of size/)
  await paste.fill(`${setting.address}/r/${id.replace(/-.*/, '-00000000')}`)
  await page.getByRole('button', { name: 'Check it' }).click()
  await expect.poll(() => verdict.last().innerText()).toContain('Not proven')

  const seq = tamper(`${setting.gateway.data}/book.db`)
  await page.getByRole('button', { name: 'Verify in this browser' }).click()
  await expect
    .poll(() => page.getByRole('alert').innerText())
    .toMatch(new RegExp(`BROKEN at record ${seq}: record ${seq} was changed`))
  const { vkey } = setting.gateway.app
  await page.getByLabel('Public key to check against').fill(vkey.replace('gw.test', 'another'))
  await page.getByText('This is not the key that came with this page.').waitFor()
})

/** Somebody who can write the file says of one statement that it failed; all else stays as it was. */
function tamper(file: string): number {
  const db = new Database(file)
  try {
    for (const name of db.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").pluck().all())
      db.exec(`DROP TRIGGER ${String(name)}`)
    for (const [seq, bytes] of readLeafBytes(db, 10)) {
      const text = Buffer.from(bytes).toString()
      if (!text.includes('"kind":"op"') || !text.includes('"out":"ok"')) continue
      const { first, count } = db
        .prepare('SELECT first, count FROM bundle WHERE first <= ? ORDER BY first DESC LIMIT 1')
        .get(seq) as { first: number; count: number }
      const leaves: Uint8Array[] = []
      for (const [at, leaf] of readLeafBytes(db, first)) {
        if (at >= first + count) break
        leaves.push(at === seq ? Buffer.from(text.replace('"out":"ok"', '"out":"error"')) : leaf)
      }
      const { codec, crc, bytes: stored } = encodeBundle(leaves)
      db.prepare('UPDATE bundle SET codec = ?, crc = ?, leaves = ? WHERE first = ?').run(
        codec,
        crc,
        stored,
        first,
      )
      return seq
    }
    throw new Error('no statement to change')
  } finally {
    db.close()
  }
}
