package obs

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestProfilesAreForTheMachineItself(t *testing.T) {
	reached := 0
	h := loopback(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	for from, want := range map[string]int{
		"127.0.0.1:5": http.StatusOK, "[::1]:5": http.StatusOK, "[::ffff:127.0.0.1]:5": http.StatusOK,
		"10.0.0.1:5": http.StatusForbidden, "[2001:db8::1]:5": http.StatusForbidden, "": http.StatusForbidden,
	} {
		r := httptest.NewRequest(http.MethodGet, "/debug/pprof/heap", nil)
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("from %q: %d, want %d", from, w.Code, want)
		}
	}
	if reached != 3 {
		t.Errorf("reached %d times, want 3", reached)
	}
}
