package slots

import "sync"

// Serving counts what a server serves, connections, streams or calls, so that it can be closed while others still come:
// a [sync.WaitGroup] alone is not to be waited for while it may begin again. The zero value is ready.
type Serving struct {
	mu     sync.Mutex
	ended  bool
	served sync.WaitGroup
}

// Go serves one in a goroutine of its own, or returns false after [Serving.Close], without a call of serve.
func (s *Serving) Go(serve func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.served.Go(serve)
	return true
}

// Close lets none in any more, and returns when those that are served have ended.
func (s *Serving) Close() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.served.Wait()
}
