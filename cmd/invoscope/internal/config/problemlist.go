package config

// problemList collects what is wrong below one path.
type problemList struct {
	path string
	list *[]Problem
}

// at returns the same list for a path below.
func (p problemList) at(below string) problemList {
	return problemList{path: p.path + below, list: p.list}
}

// add notes a problem at a path below, such as ".issuer"; empty is the path itself.
func (p problemList) add(below, message string) {
	*p.list = append(*p.list, Problem{Path: p.path + below, Message: message})
}

// check notes a problem unless ok.
func (p problemList) check(ok bool, below, message string) {
	if !ok {
		p.add(below, message)
	}
}

// err notes an error, if there is one.
func (p problemList) err(err error, below string) {
	if err != nil {
		p.add(below, err.Error())
	}
}
