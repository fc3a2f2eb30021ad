package queryapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
)

// access is what an operation asks of whoever calls it. Every operation says
// it in its Metadata, by one of the functions below, and permit decides by it
// before anything else of the request is looked at: an answer about parameters
// would tell that the workspace is there.
type access struct {
	scopes []Scope // all of them; none: any one scope will do
	starts bool    // the workspace need not exist yet
}

// accessKey is where the Metadata of an operation has its access.
const accessKey = "drawdown.access"

// needs lets in those with all the scopes; on a workspace, if the path names
// one.
func needs(scopes ...Scope) map[string]any { return map[string]any{accessKey: access{scopes: scopes}} }

// needsAnyScope lets in everybody who may do anything at all.
func needsAnyScope() map[string]any { return map[string]any{accessKey: access{}} }

// needsToStart is needs for what may start a workspace: one that no counted
// record names yet is as good as any, if the token names it.
func needsToStart(scope Scope) map[string]any {
	return map[string]any{accessKey: access{scopes: []Scope{scope}, starts: true}}
}

// accessOf is what an operation asks for; an operation that does not say it is
// a mistake in this package, found when the routes are built.
func accessOf(op *huma.Operation) (access, error) {
	a, ok := op.Metadata[accessKey].(access)
	if !ok {
		return a, fmt.Errorf("operation %s does not say who may call it: set Metadata to needs(...)", op.OperationID)
	}
	return a, nil
}

// permit is the middleware, after authenticate, that decides for every
// operation: 404 for a workspace that the token does not name or that no
// counted record names, which nobody can tell apart; 403 without the scope.
func (s *Server) permit(ctx huma.Context, next func(huma.Context)) {
	if err := s.permitted(ctx); err != nil {
		r, w := humachi.Unwrap(ctx)
		p := asProblem(err)
		if p.Status >= http.StatusInternalServerError {
			s.cfg.Log.ErrorContext(r.Context(), "request not let in", "request_id", requestIDFrom(r.Context()), "code", p.Code, "error", err)
		}
		refuse(w, r, p)
		return
	}
	next(ctx)
}

func (s *Server) permitted(ctx huma.Context) error {
	op := ctx.Operation()
	asked, err := accessOf(op)
	if err != nil {
		return err
	}
	principal := principalFrom(ctx.Context())
	if !strings.Contains(op.Path, "{workspace_id}") {
		// What spans workspaces is for those who see all of them.
		if len(asked.scopes) > 0 && !slices.Contains(principal.Workspaces, everyWorkspace) {
			return forbidden(asked.scopes[0])
		}
		return principal.needs(asked.scopes)
	}
	workspaceID := ctx.Param("workspace_id")
	if asked.starts {
		return s.authorizeWrite(ctx.Context(), workspaceID, asked.scopes...)
	}
	return s.authorize(ctx.Context(), workspaceID, asked.scopes...)
}

// authorize answers for one workspace: 404 for one the token does not name or
// that nobody has named in a counted record, 403 without the scope. permit has
// it called for every operation; handlers need not.
func (s *Server) authorize(ctx context.Context, workspaceID string, scopes ...Scope) error {
	p := principalFrom(ctx)
	if !p.sees(workspaceID) {
		return workspaceNotFound()
	}
	if err := p.needs(scopes); err != nil {
		return err
	}
	return s.mustExist(ctx, workspaceID)
}

// authorizeWrite is authorize for what may start a workspace.
func (s *Server) authorizeWrite(ctx context.Context, workspaceID string, scopes ...Scope) error {
	p := principalFrom(ctx)
	if !p.sees(workspaceID) {
		return workspaceNotFound()
	}
	if err := p.needs(scopes); err != nil {
		return err
	}
	if !idPattern.MatchString(workspaceID) {
		return problem(CodeInvalidParameter, "not 1 to 128 of A-Z a-z 0-9 . _ : -").about("path.workspace_id", workspaceID)
	}
	return nil
}

// needs answers 403 unless the principal has all the scopes, or any if none is
// asked for.
func (p Principal) needs(scopes []Scope) error {
	for _, scope := range scopes {
		if !slices.Contains(p.Scopes, scope) {
			return forbidden(scope)
		}
	}
	if len(p.Scopes) == 0 {
		return problem(CodeForbidden, "any scope is needed")
	}
	return nil
}

func forbidden(scope Scope) error { return problem(CodeForbidden, "scope %s is needed", scope) }

// workspaceNotFound names no workspace, so that the answer is the same for
// each.
func workspaceNotFound() *Problem {
	return problem(CodeWorkspaceNotFound, "no counted record names this workspace, or the token does not")
}
