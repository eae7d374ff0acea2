package console

import "net/http"

// login shows the form for the token; a page that needs it is where to go on.
func (c *Console) login(*http.Request) (any, error) {
	if !c.session.possible() {
		return nil, errReadOnly
	}
	return struct{}{}, nil
}

var (
	errReadOnly = &pageError{http.StatusForbidden, "this console is read-only: start it with --console-token-file"}
	errLogin    = &pageError{http.StatusUnauthorized, "log in first, or send the token as Authorization: Bearer"}
)

// begin takes the token.
func (c *Console) begin(w http.ResponseWriter, r *http.Request) {
	if !c.session.begin(w, r) {
		c.log.WarnContext(r.Context(), "console: a wrong token was given", "addr", r.RemoteAddr)
		c.show(w, r, http.StatusUnauthorized, "login", "that is not the token")
		return
	}
	http.Redirect(w, r, c.base+"/dlq", http.StatusSeeOther)
}

// end forgets the browser.
func (c *Console) end(w http.ResponseWriter, r *http.Request) {
	c.session.end(w, r)
	http.Redirect(w, r, c.base+"/", http.StatusSeeOther)
}
