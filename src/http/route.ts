/** One request the API answers: what it takes, who may ask, what comes back. The table of them is in routes.ts. */
import { z } from 'zod'
import { ProblemError } from './errors.ts'
import type { Caller } from './sign-in.ts'

/** A body that is no JSON. */
export interface Media {
  readonly media: string
}

export type Forms = Readonly<Record<string, z.ZodType>>

export interface Call<P extends Forms, Q extends Forms, B extends Forms> {
  readonly caller: Caller
  readonly params: { readonly [K in keyof P]: z.output<P[K]> }
  readonly query: { readonly [K in keyof Q]: z.output<Q[K]> }
  readonly body: { readonly [K in keyof B]: z.output<B[K]> }
}

type Answered<A> = A extends z.ZodType
  ? z.input<A>
  : string | Uint8Array<ArrayBuffer> | AsyncIterable<Uint8Array>

interface Spec<P extends Forms, Q extends Forms, B extends Forms, A extends z.ZodType | Media> {
  readonly method: 'get' | 'post'
  /** Below /api/v1; parameters in braces. */
  readonly path: string
  readonly summary: string
  readonly params?: P
  readonly query?: Q
  readonly body?: B
  readonly answer: A
  /** Offered as a file of this name. */
  readonly fileName?: (params: { readonly [K in keyof P]: z.output<P[K]> }) => string
  readonly handle: (call: Call<P, Q, B>) => Promise<Answered<A>> | Answered<A>
}

/** The same with its types forgotten, once they have been held against each other. */
export interface Route {
  readonly method: 'get' | 'post'
  readonly path: string
  readonly summary: string
  readonly params: Forms
  readonly query: Forms
  readonly body: Forms | undefined
  readonly answer: z.ZodType | Media
  readonly fileName: ((params: Readonly<Record<string, unknown>>) => string) | undefined
  readonly run: (caller: Caller, given: Given) => Promise<unknown>
}

export interface Given {
  readonly params: Readonly<Record<string, string>>
  readonly query: Readonly<Record<string, string>>
  readonly body: unknown
}

type None = Record<never, z.ZodType>

export function route<
  A extends z.ZodType | Media,
  P extends Forms = None,
  Q extends Forms = None,
  B extends Forms = None,
>(spec: Spec<P, Q, B, A>): Route {
  const forms = {
    params: z.strictObject(spec.params ?? {}),
    query: z.strictObject(spec.query ?? {}),
    body: z.strictObject(spec.body ?? {}),
  }
  return {
    ...{ method: spec.method, path: spec.path, summary: spec.summary, answer: spec.answer },
    params: spec.params ?? {},
    query: spec.query ?? {},
    body: spec.body,
    fileName: spec.fileName as Route['fileName'],
    run: async (caller, given) => {
      // The forms stand for the types that `spec` names, member by member.
      const call = {
        caller,
        params: parsed(forms.params, given.params),
        query: parsed(forms.query, given.query),
        body: parsed(forms.body, given.body ?? {}),
      } as unknown as Call<P, Q, B>
      return spec.handle(call)
    },
  }
}

function parsed(form: z.ZodType, given: unknown): unknown {
  const result = form.safeParse(given)
  if (result.success) return result.data
  throw new ProblemError('bad-request', {
    what: 'The request is not understood.',
    why: z.prettifyError(result.error).slice(0, 1000),
  })
}

export function isMedia(answer: z.ZodType | Media): answer is Media {
  return 'media' in answer
}
