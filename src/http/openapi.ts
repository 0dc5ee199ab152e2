/** The OpenAPI document, made from the table of routes and from nothing else. */
import { z } from 'zod'
import { PROBLEM } from './api.ts'
import { type Forms, isMedia, type Route } from './route.ts'

export const API_BASE = '/api/v1'

type Json = Readonly<Record<string, unknown>>

export function openApi(routes: readonly Route[], release: string): Json {
  const paths: Record<string, Record<string, Json>> = {}
  for (const route of routes) {
    const methods = paths[route.path] ?? {}
    paths[route.path] = methods
    methods[route.method] = operation(route)
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Gatebook',
      version: release,
      description:
        'Reading the book. Whatever shows something of it is itself a record, written before the answer. Programs send a personal token as Bearer; the console has a cookie, and repeats the secret of its session in x-csrf-token.',
    },
    servers: [{ url: API_BASE }],
    security: [{ token: [] }, { cookie: [] }],
    paths,
    components: {
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer' },
        cookie: { type: 'apiKey', in: 'cookie', name: '__Host-gatebook' },
      },
      schemas: { Problem: schemaOf(PROBLEM) },
    },
  }
}

function operation({ method, path, summary, params, query, body, answer }: Route): Json {
  return {
    operationId: `${method}${path.replaceAll(/[/{}]+(\w?)/g, (_, letter: string) => letter.toUpperCase())}`,
    summary,
    parameters: [...parameters('path', params), ...parameters('query', query)],
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: { 'application/json': { schema: schemaOf(z.strictObject(body)) } },
          },
        }),
    responses: {
      '200': {
        description: summary,
        content: isMedia(answer)
          ? { [answer.media]: { schema: { type: 'string' } } }
          : { 'application/json': { schema: schemaOf(answer) } },
      },
      default: {
        description: 'Refused: what, why, what to do next',
        content: { 'application/json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    },
  }
}

function parameters(place: 'path' | 'query', forms: Forms): Json[] {
  return Object.entries(forms).map(([name, form]) => ({
    name,
    in: place,
    required: place === 'path' || !form.safeParse(undefined).success,
    schema: schemaOf(form, 'input'),
  }))
}

function schemaOf(form: z.ZodType, io: 'input' | 'output' = 'output'): Json {
  const { $schema: _, ...schema } = z.toJSONSchema(form, { io, unrepresentable: 'any' })
  return schema
}
