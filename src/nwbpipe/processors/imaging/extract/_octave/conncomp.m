function members = conncomp (g, varargin)
% Connected components of a graph as a cell array of rows of indices ('OutputForm', 'cell').
    links = g.adjacency;
    n = rows (links);
    seen = false (1, n);
    members = {};
    for start = 1:n
        if seen(start)
            continue;
        end
        found = false (1, n);
        found(start) = true;
        front = start;
        while ! isempty (front)
            next = any (links(front, :), 1) & ! found;
            found |= next;
            front = find (next);
        end
        seen |= found;
        members{end + 1} = find (found);
    end
end
