import { keepPreviousData, useInfiniteQuery, useMutation, useQuery } from '@tanstack/react-query'
import { api, body, type Schemas } from './client'
import { queryClient } from './queries'
import type { paths } from './schema'
import { askAgain } from './trouble'

type QueryOf<Path extends keyof paths> = paths[Path] extends { get: { parameters: { query?: infer Q } } } ? NonNullable<Q> : never

export type Rule = Schemas['AlertRule']
export type RuleRequest = Schemas['AlertRuleRequest']
export type WrittenRule = Schemas['WrittenAlertRule']
export type Incident = Schemas['AlertIncident']
export type Attempt = Schemas['AlertDelivery']
export type DryRun = Schemas['AlertTest']
export type IncidentsQuery = QueryOf<'/v1/workspaces/{workspace_id}/alerts/incidents'>
export type DeliveriesQuery = QueryOf<'/v1/workspaces/{workspace_id}/alerts/deliveries'>

/** rulesEvery is how often rules are asked for, in milliseconds: how far they are evaluated is no event of the stream. */
const rulesEvery = 30_000
/** pageOf is how many incidents or deliveries are asked for at once. */
const pageOf = 50
/** testEvery is how often what became of a test message is asked for, in milliseconds; it takes half a second. */
const testEvery = 1_000

/** alertsKey begins the keys of all that an alert of the stream makes old. */
const alertsKey = (workspace: string, ...rest: unknown[]) => ['w', workspace, 'alerts', ...rest]

const of = (workspace_id: string) => ({ path: { workspace_id } })
const rule = (workspace_id: string, rule_id: string) => ({ path: { workspace_id, rule_id } })

/** moved makes everything about alerts be asked for anew. */
export const alertsMoved = (workspace: string) => queryClient.invalidateQueries({ queryKey: alertsKey(workspace) })

export function useRules(workspace: string, enabled = true) {
  return useQuery({
    queryKey: alertsKey(workspace, 'rules'),
    queryFn: ({ signal }) =>
      body(api.GET('/v1/workspaces/{workspace_id}/alerts/rules', { params: of(workspace), signal })).then((r) => r.items),
    refetchInterval: (query) => (query.state.status === 'error' ? askAgain(query.state.error) : rulesEvery),
    enabled,
  })
}

/** useReload reads the rules anew and gives one of them; undefined: it is not there any more, or nothing could be read. */
export function useReload(workspace: string) {
  const rules = useRules(workspace)
  return async (rule_id: string) => {
    const { data, isSuccess } = await rules.refetch()
    return isSuccess ? data.find((rule) => rule.rule_id === rule_id) : undefined
  }
}

/** useCounts counts incidents by state. */
export function useCounts(workspace: string, query: IncidentsQuery, enabled = true) {
  return useQuery<Schemas['AlertIncidentCounts']>({
    queryKey: alertsKey(workspace, 'counts', query),
    queryFn: ({ signal }) =>
      body(
        api.GET('/v1/workspaces/{workspace_id}/alerts/incidents', {
          params: { ...of(workspace), query: { ...query, limit: 1 } },
          signal,
        }),
      ).then((r) => r.counts),
    placeholderData: keepPreviousData,
    enabled,
  })
}

export function useIncidents(workspace: string, query: IncidentsQuery) {
  return useInfiniteQuery({
    queryKey: alertsKey(workspace, 'incidents', query),
    queryFn: ({ signal, pageParam }) =>
      body(
        api.GET('/v1/workspaces/{workspace_id}/alerts/incidents', {
          params: { ...of(workspace), query: { limit: pageOf, ...query, ...(pageParam ? { cursor: pageParam } : {}) } },
          signal,
        }),
      ),
    initialPageParam: '',
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    placeholderData: keepPreviousData,
  })
}

/** useIncident is one by its id, also if no filter would show it; null: there is none. */
export function useIncident(workspace: string, incident_id: string | null) {
  return useQuery({
    queryKey: alertsKey(workspace, 'incident', incident_id),
    queryFn: ({ signal }) =>
      body(
        api.GET('/v1/workspaces/{workspace_id}/alerts/incidents', {
          params: { ...of(workspace), query: { incident_id: incident_id ?? '', limit: 1 } },
          signal,
        }),
      ).then((r) => r.items[0] ?? null),
    enabled: incident_id !== null,
  })
}

export function useDeliveries(workspace: string, query: DeliveriesQuery, limit = pageOf) {
  return useInfiniteQuery({
    queryKey: alertsKey(workspace, 'deliveries', query, limit),
    queryFn: ({ signal, pageParam }) =>
      body(
        api.GET('/v1/workspaces/{workspace_id}/alerts/deliveries', {
          params: { ...of(workspace), query: { limit, ...query, ...(pageParam ? { cursor: pageParam } : {}) } },
          signal,
        }),
      ),
    initialPageParam: '',
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    placeholderData: keepPreviousData,
  })
}

/** useTestOutcome follows a test message until done says that all has been tried. */
export function useTestOutcome(workspace: string, webhook_id: string, done: (items: Attempt[]) => boolean) {
  return useQuery({
    queryKey: alertsKey(workspace, 'test', webhook_id),
    queryFn: ({ signal }) =>
      body(
        api.GET('/v1/workspaces/{workspace_id}/alerts/deliveries', {
          params: { ...of(workspace), query: { webhook_id } },
          signal,
        }),
      ).then((r) => r.items),
    refetchInterval: (query) => (query.state.data && done(query.state.data) ? false : testEvery),
    staleTime: 0,
  })
}

/** ifMatch lets a write through only if nobody wrote meanwhile. */
const ifMatch = (version: number) => ({ 'If-Match': `"${version}"` })

/** useSaveRule makes a rule (version null), or writes it over the version that was read. */
export function useSaveRule(workspace: string) {
  return useMutation({
    mutationFn: ({ id, version, request }: { id: string | null; version: number; request: RuleRequest }) =>
      id === null
        ? body<WrittenRule>(api.POST('/v1/workspaces/{workspace_id}/alerts/rules', { params: of(workspace), body: request }))
        : body<WrittenRule>(
            api.PUT('/v1/workspaces/{workspace_id}/alerts/rules/{rule_id}', {
              params: { ...rule(workspace, id), header: ifMatch(version) },
              body: request,
            }),
          ),
    onSuccess: () => alertsMoved(workspace),
  })
}

export function useDeleteRule(workspace: string) {
  return useMutation({
    mutationFn: async ({ rule_id, version }: Pick<Rule, 'rule_id' | 'version'>) => {
      await api.DELETE('/v1/workspaces/{workspace_id}/alerts/rules/{rule_id}', {
        params: { ...rule(workspace, rule_id), header: ifMatch(version) },
      })
    },
    // Not waited for: with the list the row goes that has asked, and what it was to say after.
    onSuccess: () => void alertsMoved(workspace),
  })
}

/** useSilence keeps a rule's webhooks quiet until an instant; null ends that. */
export function useSilence(workspace: string) {
  return useMutation({
    mutationFn: ({ rule_id, until }: { rule_id: string; until: string | null }) =>
      body(
        api.POST('/v1/workspaces/{workspace_id}/alerts/rules/{rule_id}/silence', {
          params: rule(workspace, rule_id),
          body: { until },
        }),
      ),
    onSuccess: () => alertsMoved(workspace),
  })
}

export function useRotateSecret(workspace: string) {
  return useMutation({
    mutationFn: (rule_id: string) =>
      body<WrittenRule>(
        api.POST('/v1/workspaces/{workspace_id}/alerts/rules/{rule_id}/rotate-secret', { params: rule(workspace, rule_id) }),
      ),
    onSuccess: () => alertsMoved(workspace),
  })
}

export function useDeliverTest(workspace: string) {
  return useMutation({
    mutationFn: (rule_id: string) =>
      body(api.POST('/v1/workspaces/{workspace_id}/alerts/rules/{rule_id}/deliver-test', { params: rule(workspace, rule_id) })),
  })
}

/** useDryRun asks when a rule would have fired: a saved one by its id, else a request that is not saved. */
export function useDryRun(workspace: string) {
  return useMutation({
    mutationFn: (what: { id: string } | { request: RuleRequest }) =>
      'id' in what
        ? body<DryRun>(
            api.POST('/v1/workspaces/{workspace_id}/alerts/rules/{rule_id}/test', { params: rule(workspace, what.id) }),
          )
        : body<DryRun>(
            api.POST('/v1/workspaces/{workspace_id}/alerts/rules/test', { params: of(workspace), body: what.request }),
          ),
  })
}

export function useAcknowledge(workspace: string) {
  return useMutation({
    mutationFn: ({ incident_id, note }: { incident_id: string; note: string }) =>
      body(
        api.POST('/v1/workspaces/{workspace_id}/alerts/incidents/{incident_id}/acknowledge', {
          params: { path: { workspace_id: workspace, incident_id } },
          body: { note },
        }),
      ),
    onSuccess: () => alertsMoved(workspace),
  })
}

/** useCampaignNames are the campaigns there are, to choose one and to name it. */
export function useCampaignNames(workspace: string) {
  return useQuery({
    // Beside `alerts`: names do not change with an alert.
    queryKey: ['w', workspace, 'alert-campaigns'],
    queryFn: ({ signal }) =>
      body(
        api.GET('/v1/workspaces/{workspace_id}/campaigns', {
          params: { ...of(workspace), query: { sort: 'name', order: 'asc', limit: 1000 } },
          signal,
        }),
      ).then((r) =>
        r.items
          .filter((item) => item.campaign_id !== '')
          .map((item) => ({ id: item.campaign_id, name: item.name ?? item.campaign_id })),
      ),
    staleTime: 300_000,
  })
}
