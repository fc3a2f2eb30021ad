import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { ApiError, api, body, type Schemas } from '../../../api/client'
import { queryClient } from '../../../api/queries'
import { what } from '../../../parts/states'

export type Entry = Schemas['Entry']

/** The kinds of entries that this page writes. */
export type Change =
  | { kind: 'grant'; request: Schemas['GrantRequest'] }
  | { kind: 'adjustment'; request: Schemas['AdjustmentRequest'] }
  | { kind: 'void'; grant: string; request: Schemas['VoidRequest'] }

/** newKey names one intent: pages that came over plain http have no randomUUID. */
function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function send(workspace_id: string, change: Change, key: string): Promise<Entry> {
  const header = { 'Idempotency-Key': key }
  switch (change.kind) {
    case 'grant':
      return body(
        api.POST('/v1/workspaces/{workspace_id}/grants', { params: { path: { workspace_id }, header }, body: change.request }),
      )
    case 'adjustment':
      return body(
        api.POST('/v1/workspaces/{workspace_id}/adjustments', {
          params: { path: { workspace_id }, header },
          body: change.request,
        }),
      )
    case 'void':
      return body(
        api.POST('/v1/workspaces/{workspace_id}/grants/{grant_id}/void', {
          params: { path: { workspace_id, grant_id: change.grant }, header },
          body: change.request,
        }),
      )
  }
}

/**
 * useChange writes one entry, once, however often it is tried: the key is of the dialog, so a second try after an
 * answer that was lost is the same entry.
 */
export function useChange(workspace: string) {
  const [key] = useState(newKey)
  return useMutation({
    mutationFn: (change: Change) => send(workspace, change, key),
    onSuccess: () => queryClient.invalidateQueries({ queryKey: ['w', workspace, 'audit-log'] }),
  })
}

/** refusal says why an entry was not written, where no field is to blame. */
export function refusal(error: unknown): string {
  if (error instanceof ApiError && error.code === 'idempotency_conflict') {
    return 'An earlier try has been recorded with other values. Close this, and look at the history before you try again.'
  }
  if (error instanceof ApiError && error.code === 'grant_conflict') {
    return 'There is a grant with this id and other terms. Choose another id.'
  }
  const { title, detail } = what(error)
  if (error instanceof ApiError && error.status === 0) {
    return `${title}. It is not known whether it was recorded; trying again here records it once at most.`
  }
  return `${title}. ${detail}`
}
