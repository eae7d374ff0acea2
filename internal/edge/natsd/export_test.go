package natsd

import "time"

// LookEvery sets how often [Server.Guard] looks.
func (s *Server) LookEvery(d time.Duration) { s.lookEvery = d }
