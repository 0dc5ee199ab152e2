/** What is told to whoever is not let in. */
import { expect } from 'vitest'
import { front, type RawConnection, RefusedError } from '../../support/clients-raw.ts'

export const PLAIN_STARTUP = front.startup(0x30000, { user: 'alice~orders' })

/** What somebody is told who is shown out. */
export async function farewell(raw: RawConnection): Promise<string> {
  const words = (await raw.rest()).map(
    ({ tag, fields }) => `${tag} ${fields['S']} ${fields['C']} ${fields['M']}`,
  )
  expect(raw.ended).toBe(true)
  return words.join('; ')
}

/** The fields of the error that a login ends with. */
export async function refusal(login: Promise<unknown>): Promise<Record<string, string>> {
  const error = await login.then(
    () => new Error('was let in'),
    (problem: unknown) => problem,
  )
  if (!(error instanceof RefusedError)) throw error
  return error.fields
}
