import { useInfiniteQuery, useMutation, useQuery } from '@tanstack/react-query'
import { api, body, type Schemas } from '../../api/client'
import { queryClient } from '../../api/queries'

const keysKey = (workspace: string) => ['w', workspace, 'keys']
const of = (workspace_id: string) => ({ path: { workspace_id } })

/** useKeys is all keys of a workspace, also those that are over. */
export function useKeys(workspace: string) {
  return useQuery({
    queryKey: keysKey(workspace),
    queryFn: ({ signal }) => body(api.GET('/v1/workspaces/{workspace_id}/keys', { params: of(workspace), signal })),
  })
}

/** changed asks anew for what a change of keys shows in. */
function changed(workspace: string) {
  void queryClient.invalidateQueries({ queryKey: keysKey(workspace) })
  void queryClient.invalidateQueries({ queryKey: ['w', workspace, 'audit-log'] })
}

export function useCreateKey(workspace: string) {
  return useMutation({
    mutationFn: (request: Schemas['KeyRequest']) =>
      body(api.POST('/v1/workspaces/{workspace_id}/keys', { params: of(workspace), body: request })),
    onSuccess: () => changed(workspace),
  })
}

export function useRevokeKey(workspace: string) {
  return useMutation({
    mutationFn: (key_id: string) =>
      api.DELETE('/v1/workspaces/{workspace_id}/keys/{key_id}', { params: { path: { workspace_id: workspace, key_id } } }),
    onSuccess: () => changed(workspace),
  })
}

export type AuditAction = Schemas['AuditEntry']['action']

/** useAuditLog is who changed what; null: every action. */
export function useAuditLog(workspace: string, action: AuditAction | null) {
  return useInfiniteQuery({
    queryKey: ['w', workspace, 'audit-log', action],
    queryFn: ({ signal, pageParam }) =>
      body(
        api.GET('/v1/workspaces/{workspace_id}/audit-log', {
          params: {
            ...of(workspace),
            query: { limit: 50, ...(action ? { action } : {}), ...(pageParam ? { cursor: pageParam } : {}) },
          },
          signal,
        }),
      ),
    initialPageParam: '',
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    placeholderData: (previous) => previous,
  })
}
