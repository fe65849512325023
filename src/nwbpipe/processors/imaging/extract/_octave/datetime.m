function t = datetime (varargin)
% The present, as posixtime of this folder takes it.
    t = now ();
end
