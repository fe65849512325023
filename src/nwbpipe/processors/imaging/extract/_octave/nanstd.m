function s = nanstd (x, varargin)
% Standard deviation of what is not NaN, of a vector.
    x = x(! isnan (x));
    s = std (x, varargin{:});
end
