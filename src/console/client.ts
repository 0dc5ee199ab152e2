/** Asking the API: one function, one form of refusal. */
import { signal } from '@preact/signals'
import type { Me, ProblemBody } from '../http/api.ts'

export type ProblemFacts = ProblemBody['error']

/** The API did not answer what was asked; `facts` say what, why and what next. */
export class Problem extends Error {
  override readonly name = 'Problem'
  readonly facts: ProblemFacts

  constructor(facts: ProblemFacts) {
    super(facts.what)
    this.facts = facts
  }
}

/** Who is signed in; null once it is known that nobody is. */
export const me = signal<Me | null | undefined>(undefined)

export interface Asked {
  readonly query?: Readonly<Record<string, string | number | undefined>>
  readonly body?: unknown
  readonly reason?: string | undefined
  readonly signal?: AbortSignal
}

export function address(path: string, query: Asked['query'] = {}): string {
  const given = Object.entries(query).flatMap(([name, value]) =>
    value === undefined || value === '' ? [] : [[name, String(value)]],
  )
  const text = new URLSearchParams(given).toString()
  return `/api/v1${path}${text === '' ? '' : `?${text}`}`
}

export async function request(
  path: string,
  { query, body, reason, signal: cancel }: Asked = {},
): Promise<Response> {
  const headers: Record<string, string> = {}
  if (body !== undefined) headers['content-type'] = 'application/json'
  if (body !== undefined && me.value?.csrf !== undefined) headers['x-csrf-token'] = me.value.csrf
  if (reason !== undefined) headers['x-reason'] = encodeURIComponent(reason)
  const response = await fetch(address(path, query), {
    method: body === undefined ? 'GET' : 'POST',
    headers,
    credentials: 'same-origin',
    cache: 'no-store',
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(cancel === undefined ? {} : { signal: cancel }),
  }).catch((error: unknown) => {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    throw new Problem({
      code: 'busy',
      what: 'The gateway does not answer.',
      next: 'Is it running? Try again.',
    })
  })
  if (response.ok) return response
  const problem = new Problem(await factsOf(response))
  if (problem.facts.code === 'not-signed-in') me.value = null
  throw problem
}

export async function ask<T>(path: string, asked: Asked = {}): Promise<T> {
  return (await (await request(path, asked)).json()) as T
}

async function factsOf(response: Response): Promise<ProblemFacts> {
  try {
    return ((await response.json()) as ProblemBody).error
  } catch {
    return { code: 'fault', what: `The gateway answered ${response.status}.` }
  }
}

export async function whoAmI(): Promise<void> {
  try {
    me.value = await ask<Me>('/me')
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    if (error.facts.code !== 'not-signed-in') throw error
    me.value = null
  }
}

/** The code is empty where none was asked for. */
export async function signIn(user: string, password: string, code: string): Promise<void> {
  await request('/sign-in', { body: { user, password, ...(code === '' ? {} : { code }) } })
  await whoAmI()
}

export async function signOut(): Promise<void> {
  await request('/sign-out', { body: {} })
  me.value = null
}
